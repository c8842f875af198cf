"""Changing the e-mail address of an account: nothing changes before the new mailbox is confirmed by who asked."""

import time

import pyotp
import pytest

from people_calls import PASSWORD, Browser, People

NEW_PASSWORD = "a different passphrase"
ASKED, CHANGED, CONFIRM = "new e-mail address was asked", "address was changed", "Confirm your new"


def ask(people: People, browser: Browser, email: str | None = None) -> str:
    """Asks for a new address; that address."""
    email = email or people.new_email("new")
    asked = browser.post("/account/email", {"email": email, "password": PASSWORD})
    assert asked.status == 200, asked.text
    return email


def confirm(browser: Browser, token: str) -> int:
    return browser.post("/account/email/confirm", {"token": token}).status


def actions(browser: Browser) -> list[str]:
    return [event["action"] for event in browser.get("/account/person/export").json["audit_events"]]


def test_the_address_changes_on_confirmation_and_every_other_session_ends(people: People) -> None:
    ada = people.newcomer()
    old, phone = ada.email, people.browser(ada.email)
    phone.sign_in()
    email = ask(people, ada, f"  {people.new_email('New').upper()} ").strip().lower()
    token = people.mail.token_to(email, CONFIRM)
    assert email in people.mail.letter_to(old, ASKED)
    assert ada.get("/account/session").json["person"]["email"] == old, "nothing changes before it is confirmed"
    assert people.browser(email).sign_in().status == 401

    before = ada.cookie
    done = ada.post("/account/email/confirm", {"token": token})
    assert (done.status, done.json["person"]["email"]) == (200, email)
    assert ada.cookie != before
    assert (phone.get("/account/session").status, ada.get("/account/session").status) == (401, 200)
    assert email in people.mail.letter_to(old, CHANGED)
    assert people.browser(old).sign_in().status == 401
    assert people.browser(email).sign_in().status == 200
    assert actions(ada)[:4] == ["person.signed_in", "person.signed_in", "email.changed", "email.asked"]
    assert confirm(ada, token) == 400, "a link works once"


def test_asking_needs_the_password_and_an_address_that_is_new(people: People) -> None:
    ada = people.newcomer()
    email = people.new_email()
    wrong = ada.post("/account/email", {"email": email, "password": "not this one"})
    assert (wrong.status, wrong.code) == (401, "sign_in_failed")
    for address in ("nobody", "a@b", "ada@example.com\r\nBcc: eve@example.com", ada.email, f" {ada.email.upper()}"):
        reply = ada.post("/account/email", {"email": address, "password": PASSWORD})
        assert (reply.status, reply.json["error"]["param"]) == (400, "email"), address
    assert "email.asked" not in actions(ada)
    assert not people.mail.letters_to(email)


def test_a_second_factor_is_asked_for_too(people: People) -> None:
    ada = people.newcomer()
    totp = pyotp.TOTP(ada.post("/account/second-factor", {"password": PASSWORD}).json["secret"])
    code = totp.at(int(time.time()) - 30)
    codes = ada.post("/account/second-factor/confirm", {"code": code}).json["recovery_codes"]
    fields = {"email": people.new_email(), "password": PASSWORD}
    for wrong in ({}, {"code": "000000"}, {"code": code}):
        assert ada.post("/account/email", {**fields, **wrong}).code == "second_factor_required"
    assert ada.post("/account/email", {**fields, "password": "not this one", "code": codes[0]}).code == "sign_in_failed"
    assert ada.post("/account/email", {**fields, "code": codes[0]}).status == 200
    assert confirm(ada, people.mail.token_to(fields["email"], CONFIRM)) == 200


def test_nothing_tells_who_asks_whether_an_address_is_taken(people: People) -> None:
    ada, bob = people.newcomer(), people.newcomer("Bob")
    free, taken = (
        ada.post("/account/email", {"email": email, "password": PASSWORD}) for email in (people.new_email(), bob.email)
    )
    assert (free.status, free.text) == (taken.status, taken.text) == (200, taken.text)
    assert "#" not in people.mail.letter_to(bob.email, "have an account already")
    people.mail.letter_to(ada.email, ASKED, number=2)
    # Letters pass one another.
    assert any(bob.email in str(letter.get_content()) for letter in people.mail.letters_to(ada.email))
    assert {event["action"] for event in ada.get("/account/person/export").json["audit_events"]} >= {"email.asked"}


def test_a_new_request_replaces_the_one_before(people: People) -> None:
    ada = people.newcomer()
    first = people.mail.token_to(ask(people, ada), CONFIRM)
    second = people.mail.token_to(ask(people, ada), CONFIRM)
    (waiting,) = ada.get("/account/person/export").json["email_changes"]
    assert waiting["email"].startswith("new")
    assert (confirm(ada, first), confirm(ada, second)) == (400, 200)


def test_a_request_for_a_taken_address_replaces_the_one_before_too(people: People) -> None:
    ada, bob = people.newcomer(), people.newcomer("Bob")
    token = people.mail.token_to(ask(people, ada), CONFIRM)
    ask(people, ada, bob.email)
    assert confirm(ada, token) == 400


def test_only_who_asked_can_confirm_signed_in(people: People) -> None:
    ada, eve = people.newcomer(), people.newcomer("Eve")
    token = people.mail.token_to(ask(people, ada), CONFIRM)
    assert Browser(people.base_url).post("/account/email/confirm", {"token": token}).code == "not_signed_in"
    assert confirm(eve, token) == 400
    assert eve.get("/account/session").json["person"]["email"] == eve.email
    assert confirm(ada, token) == 200, "a stranger's try uses nothing up"


def test_an_address_taken_meanwhile_is_refused(people: People) -> None:
    ada = people.newcomer()
    email = people.new_email("bob")
    token = people.mail.token_to(ask(people, ada, email), CONFIRM)
    people.browser().post("/account/sign-up", {"email": email, "name": "Bob", "password": PASSWORD})
    signing_up = people.mail.token_to(email, "Confirm your e-mail")
    bob = people.browser(email)
    assert bob.post("/account/sign-up/confirm", {"token": signing_up, "password": PASSWORD}).status == 200
    reply = ada.post("/account/email/confirm", {"token": token})
    assert (reply.status, reply.json["error"]["param"]) == (400, "email")
    assert ada.get("/account/session").json["person"]["email"] == ada.email
    assert people.browser(email).sign_in().status == 200


@pytest.mark.parametrize("how", ["changed", "reset"])
def test_a_new_password_calls_the_change_off(people: People, how: str) -> None:
    ada = people.newcomer()
    token = people.mail.token_to(ask(people, ada), CONFIRM)
    if how == "changed":
        assert ada.post("/account/password", {"password": PASSWORD, "new_password": NEW_PASSWORD}).status == 200
    else:
        people.browser().post("/account/password/forget", {"email": ada.email})
        reset = {"token": people.mail.token_to(ada.email, "new password"), "password": NEW_PASSWORD}
        assert people.browser().post("/account/password/reset", reset).status == 200
        assert ada.sign_in(NEW_PASSWORD).status == 200
    assert confirm(ada, token) == 400


def test_links_sent_to_the_old_mailbox_and_to_the_new_one_before_are_of_no_use(people: People) -> None:
    ada = people.newcomer()
    old, email = ada.email, people.new_email("new")
    people.browser().post("/account/password/forget", {"email": old})
    reset = people.mail.token_to(old, "new password")
    people.browser().post("/account/sign-up", {"email": email, "name": "Eve", "password": PASSWORD})
    signing_up = people.mail.token_to(email, "Confirm your e-mail")
    assert confirm(ada, people.mail.token_to(ask(people, ada, email), CONFIRM)) == 200
    browser = people.browser()
    assert browser.post("/account/password/reset", {"token": reset, "password": NEW_PASSWORD}).status == 400
    assert browser.post("/account/sign-up/confirm", {"token": signing_up, "password": PASSWORD}).status == 400


def test_an_invitation_follows_the_person_to_the_new_address(people: People) -> None:
    owner, ada = people.newcomer("Owner"), people.newcomer()
    invite = owner.post(f"{owner.at()}/invites", {"email": ada.email, "role": "viewer"}).json
    token = people.mail.token_to(ada.email, "invited")
    email = ask(people, ada)
    assert confirm(ada, people.mail.token_to(email, CONFIRM)) == 200
    assert owner.get(f"{owner.at()}/invites/{invite['id']}").json["email"] == email
    assert ada.post("/account/invitations/accept", {"token": token}).status == 200
    assert email in owner.get(f"{owner.at()}/users").text


def test_a_person_erased_meanwhile_leaves_nothing_to_confirm(people: People) -> None:
    ada = people.newcomer()
    old, email = ada.email, ask(people, ada)
    token = people.mail.token_to(email, CONFIRM)
    assert ada.post("/account/person/erase", {"password": PASSWORD}).status == 200
    again = people.browser(old)
    people.browser().post("/account/sign-up", {"email": old, "name": "Ada", "password": PASSWORD})
    signing_up = people.mail.token_to(old, "Confirm your e-mail", number=2)
    assert again.post("/account/sign-up/confirm", {"token": signing_up, "password": PASSWORD}).status == 200
    assert confirm(again, token) == 400
