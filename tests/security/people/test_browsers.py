"""Changes by cookie need the page's own origin and its token (T25); guessing is bounded."""

import time
from pathlib import Path

import pytest

from people_calls import PASSWORD, Browser, People, running_people, send
from people_objects import PEOPLE_ROUTES, Full, body_of, names
from tessera.http.route import Door, Route

BY_COOKIE = (Door.PERSON, Door.MEMBER, Door.OPERATOR)
CHANGES = [route for route in PEOPLE_ROUTES if route.method != "GET" and route.door in BY_COOKIE]


@pytest.mark.parametrize("route", CHANGES, ids=names)
def test_a_change_by_cookie_needs_its_own_origin_and_token(
    people: People, two_organizations: tuple[Full, Full], operator: Browser, route: Route
) -> None:
    mine, theirs = two_organizations
    owner = operator if route.door is Door.OPERATOR else mine.owner
    path, body = mine.path(route), body_of(route)
    host = people.base_url.removeprefix("http://")
    attacks = [
        {"Origin": "https://evil.example"},
        {"Origin": f"https://{host}.evil.example"},
        {"Origin": f"http://evil.example/{host}"},
        {"Origin": "null"},
        {"Origin": ""},
        {"Origin": "", "Sec-Fetch-Site": "cross-site"},
        {"Origin": "", "Sec-Fetch-Site": "same-site"},
        {"X-CSRF-Token": ""},
        {"X-CSRF-Token": "0" * 64},
        {"X-CSRF-Token": theirs.owner.csrf or ""},
        {"X-CSRF-Token": "é"},
    ]
    for attack in attacks:
        browser = Browser(people.base_url, cookie=owner.cookie, csrf=owner.csrf, headers={})
        sent = {name.replace("-", "_"): value for name, value in attack.items()}
        reply = browser.send(route.method, path, body, **sent)
        assert (reply.status, reply.code) == (403, "permission_denied"), attack


def test_signing_in_from_another_sites_page_is_refused(people: People) -> None:
    for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        body = {"email": "a@example.com", "password": PASSWORD}
        assert send(people.base_url, "POST", "/account/sign-in", body, headers).status == 403


def test_a_program_without_an_origin_may_sign_in(people: People) -> None:
    ada = people.newcomer()
    body = {"email": ada.email, "password": PASSWORD}
    assert send(people.base_url, "POST", "/account/sign-in", body).status == 200


def test_no_page_of_another_origin_is_told_anything(people: People) -> None:
    ada = people.newcomer()
    reply = ada.get("/account/session", Origin="https://evil.example")
    assert "access-control-allow-origin" not in reply.headers
    assert reply.headers["cache-control"] == "no-store"


def test_behind_https_the_cookie_is_secure_and_of_this_host_only(tmp_path: Path) -> None:
    for people in running_people(tmp_path, top='public_url = "https://api.example.com"'):
        token = people.server.started["operator_link"]
        assert token.startswith("https://api.example.com/welcome#")
        fields = {"email": "root@example.com", "name": "Root", "password": PASSWORD}
        browser = Browser(people.base_url)
        made = browser.post("/account/operator", {"token": token.rpartition("#")[2], **fields})
        cookie = made.headers["set-cookie"]
        assert cookie.startswith("__Host-tessera=")
        assert {"Secure", "HttpOnly", "Path=/", "SameSite=Lax"} <= set(cookie.split("; "))
        assert "Domain" not in cookie
        plain = (browser.cookie or "").replace("__Host-tessera", "tessera-session")
        assert Browser(people.base_url, cookie=plain).get("/account/session").status == 401
        assert browser.post("/account/person", {"name": "Ada"}, Origin="https://api.example.com").status == 200
        assert browser.post("/account/person", {"name": "Ada"}, Origin="http://api.example.com").status == 403


def in_one_window() -> None:
    """Tries are counted in quarters of an hour: where one is about to end, waits for the next."""
    left_s = 900 - time.time() % 900
    if left_s < 30:
        time.sleep(left_s)


def test_guessing_a_password_is_bounded_and_does_not_lock_the_owner_out_elsewhere(tmp_path: Path) -> None:
    for people in running_people(tmp_path, tries=3, letters=2):
        ada = people.newcomer()
        in_one_window()
        guesses = [people.browser(ada.email).sign_in(f"guess number {n}").status for n in range(5)]
        assert guesses == [401, 401, 401, 429, 429]
        right = people.browser(ada.email).sign_in()
        assert right.status == 429
        assert 0 < int(right.headers["retry-after"]) <= 900
        unknown = [people.browser("nobody@example.com").sign_in("guess").status for _ in range(5)]
        assert unknown == guesses, "the bound does not tell whether there is an account"
        assert people.newcomer("Bob").get("/account/session").status == 200
        assert ada.get("/account/session").status == 200


def test_letters_to_one_mailbox_are_bounded(tmp_path: Path) -> None:
    for people in running_people(tmp_path, letters=2):
        statuses = [
            people.browser().post("/account/password/forget", {"email": "a@example.com"}).status for _ in "1234"
        ]
        assert statuses == [200, 200, 429, 429]


def test_a_name_cannot_add_a_header_to_a_letter(people: People) -> None:
    ada = people.newcomer()
    for name in ("x\r\nBcc: eve@example.com", "x\nSubject: y"):
        assert ada.post("/account/organizations", {"name": name}).status == 400
    ada.post(ada.at(), {"name": f"Bcc: eve@example.com {ada.email}"})
    bob = people.new_email("bob")
    ada.post(f"{ada.at()}/invites", {"email": bob, "role": "viewer"})
    people.mail.letter_to(bob, "invited")
    assert not people.mail.letters_to("eve@example.com")
    for email in ("bob@example.com\r\nBcc: eve@example.com", "bob@example.com, eve@example.com"):
        assert ada.post(f"{ada.at()}/invites", {"email": email, "role": "viewer"}).status == 400
