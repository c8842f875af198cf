"""Signing in and out, sessions, passwords and second factors."""

import time

import pyotp
import pytest

from people_calls import PASSWORD, Browser, People

NEW_PASSWORD = "a different passphrase"


def test_a_wrong_password_and_an_unknown_address_are_the_same(people: People) -> None:
    ada = people.newcomer()
    wrong = people.browser(ada.email).sign_in("not this one")
    unknown = people.browser(people.new_email()).sign_in("not this one")
    assert wrong.status == unknown.status == 401
    assert wrong.text == unknown.text


def test_an_unknown_address_takes_as_long_as_a_wrong_password(people: People) -> None:
    ada = people.newcomer()

    def seconds(email: str) -> float:
        started = time.perf_counter()
        assert people.browser(email).sign_in("not this one").status == 401
        return time.perf_counter() - started

    # In turn: a machine may change its own speed by more than what is compared.
    pairs = [(seconds(ada.email), seconds(people.new_email())) for _ in range(7)]
    known, unknown = (min(times) for times in zip(*pairs, strict=True))
    assert unknown > 0.6 * known
    assert known > 0.6 * unknown


def test_an_address_is_the_same_in_capitals(people: People) -> None:
    ada = people.newcomer()
    assert people.browser(f"  {ada.email.upper()} ").sign_in().status == 200


def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(people: People) -> None:
    ada = people.newcomer()
    cookie = people.browser(ada.email).sign_in().headers["set-cookie"]
    assert cookie.startswith("tessera-session=")
    assert {"HttpOnly", "SameSite=Lax", "Path=/"} <= set(cookie.split("; "))


def test_signing_in_again_gives_a_new_token_and_ends_the_old_one(people: People) -> None:
    ada = people.newcomer()
    old = Browser(people.base_url, ada.email, cookie=ada.cookie, csrf=ada.csrf)
    assert ada.sign_in().status == 200
    assert ada.cookie != old.cookie
    assert (old.get("/account/session").status, ada.get("/account/session").status) == (401, 200)


def test_signing_out_ends_the_session_on_the_server(people: People) -> None:
    ada = people.newcomer()
    copy = Browser(people.base_url, cookie=ada.cookie)
    assert ada.post("/account/sign-out").status == 200
    reply = copy.get("/account/session")
    assert (reply.status, reply.code) == (401, "not_signed_in")


@pytest.mark.parametrize("cookie", ["tessera-session=", "tessera-session=0", "tessera-session=" + "0" * 64, "other=1"])
def test_a_made_up_cookie_is_nobody(people: People, cookie: str) -> None:
    assert Browser(people.base_url, cookie=cookie).get("/account/session").status == 401


def test_two_different_cookies_are_nobody(people: People) -> None:
    ada, bob = people.newcomer(), people.newcomer("Bob")
    both = Browser(people.base_url, cookie=f"{ada.cookie}; {bob.cookie}")
    assert both.get("/account/session").status == 401


def test_sessions_are_listed_and_ended_one_by_one(people: People) -> None:
    ada = people.newcomer()
    phone = people.browser(ada.email)
    phone.headers["User-Agent"] = "phone"
    phone.sign_in()
    listed = ada.get("/account/sessions").json["data"]
    assert [one["current"] for one in listed].count(True) == 1
    (other,) = [one for one in listed if one["user_agent"] == "phone"]
    assert ada.delete(f"/account/sessions/{other['id']}").status == 200
    assert phone.get("/account/session").status == 401
    assert ada.delete(f"/account/sessions/{other['id']}").status == 404
    stranger = people.newcomer("Eve")
    mine = ada.get("/account/sessions").json["data"][0]["id"]
    assert stranger.delete(f"/account/sessions/{mine}").status == 404
    assert ada.get("/account/session").status == 200


def test_a_new_password_ends_every_other_session(people: People) -> None:
    ada = people.newcomer()
    phone = people.browser(ada.email)
    phone.sign_in()
    wrong = ada.post("/account/password", {"password": "not this one", "new_password": NEW_PASSWORD})
    assert wrong.status == 401
    before = ada.cookie
    assert ada.post("/account/password", {"password": PASSWORD, "new_password": NEW_PASSWORD}).status == 200
    assert ada.cookie != before
    assert (phone.get("/account/session").status, ada.get("/account/session").status) == (401, 200)
    assert people.browser(ada.email).sign_in().status == 401
    assert people.browser(ada.email).sign_in(NEW_PASSWORD).status == 200
    people.mail.letter_to(ada.email, "Your password was changed")


def test_a_forgotten_password_is_reset_once_by_mail_and_signs_everybody_out(people: People) -> None:
    ada = people.newcomer()
    known = people.browser().post("/account/password/forget", {"email": ada.email})
    unknown = people.browser().post("/account/password/forget", {"email": people.new_email()})
    assert (known.status, known.text) == (unknown.status, unknown.text)
    token = people.mail.token_to(ada.email, "new password")
    browser = people.browser()
    weak = browser.post("/account/password/reset", {"token": token, "password": "password1234"})
    assert weak.status == 400
    done = browser.post("/account/password/reset", {"token": token, "password": NEW_PASSWORD})
    assert done.status == 200
    assert browser.cookie is None
    assert ada.get("/account/session").status == 401
    assert browser.post("/account/password/reset", {"token": token, "password": PASSWORD}).status == 400
    assert people.browser(ada.email).sign_in(NEW_PASSWORD).status == 200


def test_a_new_password_that_is_too_short_is_told_from_the_one_until_now(people: People) -> None:
    refused = people.newcomer().post("/account/password", {"password": PASSWORD, "new_password": "short"})
    assert (refused.status, refused.json["error"]["param"]) == (400, "new_password")
    assert refused.json["error"]["message"].startswith("new_password must have")


def test_who_confirms_a_second_factor_that_waits_for_no_code_is_not_told_to_wait_for_one(people: People) -> None:
    ada = people.newcomer()
    none = ada.post("/account/second-factor/confirm", {"code": "000000"})
    assert (none.status, none.json["error"]["param"]) == (400, None)
    assert "Begin one first" in none.text
    secret = ada.post("/account/second-factor", {"password": PASSWORD}).json["secret"]
    assert ada.post("/account/second-factor/confirm", {"code": pyotp.TOTP(secret).now()}).status == 200
    assert "already" in ada.post("/account/second-factor/confirm", {"code": "000000"}).text


def test_a_second_factor_is_asked_for_after_the_right_password_only_and_each_code_works_once(people: People) -> None:
    ada = people.newcomer()
    assert ada.post("/account/second-factor", {"password": "not this one"}).status == 401
    started = ada.post("/account/second-factor", {"password": PASSWORD}).json
    assert people.browser(ada.email).sign_in().status == 200, "a factor that is not confirmed does nothing"
    totp = pyotp.TOTP(started["secret"])
    assert started["otpauth_url"] == pyotp.TOTP(started["secret"], name=ada.email, issuer="Tessera").provisioning_uri()
    assert ada.post("/account/second-factor/confirm", {"code": "000000"}).status == 400
    used = totp.at(int(time.time()) - 30)
    codes = ada.post("/account/second-factor/confirm", {"code": used}).json["recovery_codes"]
    assert len(set(codes)) == 10

    phone = people.browser(ada.email)
    assert phone.sign_in("not this one").code == "sign_in_failed"
    assert phone.sign_in().code == "second_factor_required"
    assert phone.sign_in(code=used).code == "second_factor_required", "a code is used once"
    assert phone.cookie is None
    now = totp.now()
    assert phone.sign_in(code=now).status == 200
    assert people.browser(ada.email).sign_in(code=now).status == 401
    assert people.browser(ada.email).sign_in(code=codes[0]).status == 200
    assert people.browser(ada.email).sign_in(code=codes[0]).status == 401
    assert phone.get("/account/session").json["person"]["second_factor"]

    people.browser().post("/account/password/forget", {"email": ada.email})
    token = people.mail.token_to(ada.email, "new password")
    without = people.browser().post("/account/password/reset", {"token": token, "password": NEW_PASSWORD})
    assert without.code == "second_factor_required", "a mailbox is not a second factor"

    assert phone.post("/account/second-factor/remove", {"code": "000000"}).status == 401
    assert phone.post("/account/second-factor/remove", {"code": codes[1]}).status == 200
    assert people.browser(ada.email).sign_in().status == 200


def test_a_second_factor_cannot_be_started_over_a_confirmed_one(people: People) -> None:
    ada = people.newcomer()
    secret = ada.post("/account/second-factor", {"password": PASSWORD}).json["secret"]
    assert ada.post("/account/second-factor/confirm", {"code": pyotp.TOTP(secret).now()}).status == 200
    assert ada.post("/account/second-factor", {"password": PASSWORD}).status == 400
