"""Signing up by mail, by invitation, and as the first operator."""

import re
import time
from pathlib import Path

import pytest

from people_calls import PASSWORD, Browser, People, running_people
from servers import running_server


def body(email: str, **changed: str) -> dict[str, str]:
    return {"email": email, "name": "Ada", "password": PASSWORD, **changed}


@pytest.mark.parametrize(
    "email", ["", "ada", "@example.com", "ada@", "ada@example", "a b@example.com", "ada@exa_mple.com"]
)
def test_what_is_no_address_is_refused(people: People, email: str) -> None:
    reply = people.browser().post("/account/sign-up", body(email))
    assert (reply.status, reply.json["error"]["param"]) == (400, "email")


@pytest.mark.parametrize("password", ["", "short", "password1234", "aaaaaaaaaaaaaa", "x" * 257])
def test_a_weak_password_is_refused(people: People, password: str) -> None:
    reply = people.browser().post("/account/sign-up", body(people.new_email(), password=password))
    assert (reply.status, reply.json["error"]["param"]) == (400, "password")


def test_the_letter_makes_an_account_with_an_organization_of_its_own(people: People) -> None:
    ada = people.newcomer("Ada")
    session = ada.get("/account/session").json
    assert session["person"]["email"] == ada.email
    assert not session["person"]["is_operator"]
    (mine,) = session["organizations"]
    assert mine["role"] == "owner"
    project = ada.get(f"{ada.at()}/projects").json["data"]
    assert [one["name"] for one in project] == ["default"]


def test_a_confirmation_needs_the_password_chosen_at_sign_up_and_works_once(people: People) -> None:
    browser = people.browser(people.new_email())
    browser.post("/account/sign-up", body(browser.email))
    token = people.mail.token_to(browser.email, "Confirm")
    wrong = browser.post("/account/sign-up/confirm", {"token": token, "password": "another password"})
    assert (wrong.status, wrong.code) == (401, "sign_in_failed")
    assert browser.cookie is None
    assert browser.post("/account/sign-up/confirm", {"token": token, "password": PASSWORD}).status == 200
    again = people.browser().post("/account/sign-up/confirm", {"token": token, "password": PASSWORD})
    assert (again.status, again.json["error"]["param"]) == (400, "token")


def test_an_address_with_an_account_gets_the_same_answer_and_another_letter(people: People) -> None:
    ada = people.newcomer()
    known = people.browser().post("/account/sign-up", body(ada.email.upper(), password="another password"))
    unknown = people.browser().post("/account/sign-up", body(people.new_email()))
    assert (known.status, known.text) == (unknown.status, unknown.text)
    assert "#" not in people.mail.letter_to(ada.email, "have an account")
    assert ada.sign_in().status == 200
    assert ada.sign_in("another password").status == 401


def test_of_two_sign_ups_for_one_address_the_first_confirmed_wins(people: People) -> None:
    browser = people.browser(people.new_email())
    browser.post("/account/sign-up", body(browser.email))
    first = people.mail.token_to(browser.email, "Confirm")
    browser.post("/account/sign-up", body(browser.email, password="the other password"))
    second = people.mail.token_to(browser.email, "Confirm", number=2)
    done = browser.post("/account/sign-up/confirm", {"token": second, "password": "the other password"})
    assert done.status == 200
    assert people.browser().post("/account/sign-up/confirm", {"token": first, "password": PASSWORD}).status == 400


def test_people_with_one_name_get_organizations_of_their_own(people: People) -> None:
    first, second = people.newcomer("Grace"), people.newcomer("Grace")
    names = [browser.get("/account/organizations").json["data"][0]["name"] for browser in (first, second)]
    assert names[0] == "Grace"
    assert names[1].startswith("Grace (")


@pytest.mark.parametrize("sign_up", ["invite", "closed"])
def test_strangers_cannot_sign_up_where_it_is_not_open(tmp_path: Path, sign_up: str) -> None:
    for people in running_people(tmp_path, sign_up=sign_up):
        reply = people.browser().post("/account/sign-up", body("ada@example.com"))
        assert (reply.status, reply.code) == (403, "permission_denied")
        invited = {"token": "0" * 64, "name": "Ada", "password": PASSWORD}
        expected = 400 if sign_up == "invite" else 403
        assert people.browser().post("/account/sign-up/invited", invited).status == expected
        assert people.mail.letters == []


def test_the_first_operator_comes_by_a_link_that_works_once(tmp_path: Path) -> None:
    for people in running_people(tmp_path, sign_up="closed"):
        token = people.server.started["operator_link"].rpartition("#")[2]
        fields = {"email": "root@example.com", "name": "Root", "password": PASSWORD}
        wrong = people.browser().post("/account/operator", {"token": "0" * 64, **fields})
        assert (wrong.status, wrong.json["error"]["param"]) == (400, "token")
        root = people.browser()
        made = root.post("/account/operator", {"token": token, **fields})
        assert made.status == 200
        assert made.json["person"]["is_operator"]
        second = {**fields, "email": "second@example.com"}
        assert people.browser().post("/account/operator", {"token": token, **second}).status == 400


def test_no_link_is_printed_once_there_is_an_operator(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        link = server.started["operator_link"]
    with running_server(tmp_path) as server:
        again = server.started["operator_link"]
        assert again.rpartition("#")[2] != link.rpartition("#")[2]
        fields = {"email": "root@example.com", "name": "Root", "password": PASSWORD}
        old = Browser(server.base_url).post("/account/operator", {"token": link.rpartition("#")[2], **fields})
        assert old.status == 400
        done = Browser(server.base_url).post("/account/operator", {"token": again.rpartition("#")[2], **fields})
        assert done.status == 200
    with running_server(tmp_path) as server:
        assert "operator_link" not in server.started


def test_without_a_mail_server_the_letter_is_in_the_log(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        ada = Browser(server.base_url, "ada@example.com")
        assert ada.post("/account/sign-up", body(ada.email)).status == 200
        deadline = time.monotonic() + 20
        found = None
        while found is None and time.monotonic() < deadline:
            found = re.search(r"/confirm#([0-9a-f]{64})", server.log.read_text())
            time.sleep(0.02)
        assert found is not None
        done = ada.post("/account/sign-up/confirm", {"token": found[1], "password": PASSWORD})
        assert done.status == 200
