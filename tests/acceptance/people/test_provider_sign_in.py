"""Signing in at an identity provider: a real one on loopback, a browser that is sent there and back."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import pyotp
import pytest

from identity_provider import CLIENT_SECRET, Answer, IdentityProviderStandIn, Visitor, made_key
from people_calls import PASSWORD, Browser, People, running_people
from tessera.adapters.storage.ledger.secrets import load_secrets
from tessera.domain.auth import key_digest

NEW_PASSWORD = "a different passphrase"


@pytest.fixture(scope="module")
def providers() -> Iterator[tuple[IdentityProviderStandIn, IdentityProviderStandIn]]:
    """Two identity providers that know nothing of each other."""
    with IdentityProviderStandIn() as corp, IdentityProviderStandIn() as club:
        yield corp, club


@pytest.fixture(scope="module")
def people(
    tmp_path_factory: pytest.TempPathFactory, providers: tuple[IdentityProviderStandIn, IdentityProviderStandIn]
) -> Iterator[People]:
    corp, club = providers
    folder = tmp_path_factory.mktemp("people")
    yield from running_people(folder, top=configured(folder, corp, club))


@pytest.fixture
def idp(providers: tuple[IdentityProviderStandIn, IdentityProviderStandIn]) -> Iterator[IdentityProviderStandIn]:
    """The provider called corp."""
    yield providers[0]
    for provider in providers:
        provider.forget()


def configured(folder: Path, corp: IdentityProviderStandIn, club: IdentityProviderStandIn | None = None) -> str:
    file = folder / "client-secret"
    file.write_text(f"{CLIENT_SECRET}\n")
    return corp.config("corp", file) + ("" if club is None else club.config("club", file))


def somebody(people: People, name: str = "Ada", email: str | None = None) -> dict[str, object]:
    """Somebody the provider knows, with an address it vouches for."""
    email = email or people.new_email(name.lower())
    return {"sub": f"at the provider: {email}", "email": email, "email_verified": True, "name": name}


def signed_in(people: People, provider: str = "corp") -> Browser:
    visitor = Visitor(people.base_url)
    back = visitor.sign_in(provider)
    assert (back.status, back.location) == (303, f"{people.base_url}/"), back.text
    assert "tessera-sign-in" not in visitor.jar, "what the sign-in was known by is taken back"
    return visitor.browser()


def with_query(url: str, **changes: str) -> str:
    parts = urlsplit(url)
    query = {**dict(parse_qsl(parts.query)), **changes}
    return urlunsplit(parts._replace(query=urlencode(query)))


def actions(browser: Browser) -> list[str]:
    return [event["action"] for event in browser.get("/account/person/export").json["audit_events"]]


def test_somebody_new_gets_an_account_and_is_the_same_person_next_time(
    people: People, idp: IdentityProviderStandIn
) -> None:
    idp.person = somebody(people)
    ada = signed_in(people)
    assert ada.email == idp.person["email"]
    assert ada.get("/account/organizations").json["data"][0]["role"] == "owner"
    (known,) = ada.get("/account/identities").json["data"]
    assert (known["issuer"], known["subject"]) == (idp.issuer, idp.person["sub"])
    assert set(actions(ada)) >= {"person.signed_up", "identity.added", "person.signed_in"}

    idp.person |= {"email": people.new_email("elsewhere"), "email_verified": False, "name": "Renamed"}
    again = signed_in(people)
    assert (again.person_id, again.email) == (ada.person_id, ada.email), "the subject says who it is, not the address"


def test_who_signed_up_there_has_no_password_until_they_choose_one(
    people: People, idp: IdentityProviderStandIn
) -> None:
    idp.person = somebody(people)
    ada = signed_in(people)
    for guess in ("", "!", PASSWORD):
        assert people.browser(ada.email).sign_in(guess).status == 401
        reply = ada.post("/account/person/erase", {"password": guess})
        assert (reply.status, reply.code) == (401, "sign_in_failed")
        assert "no password" in reply.text
    people.browser().post("/account/password/forget", {"email": ada.email})
    token = people.mail.token_to(ada.email, "new password")
    assert people.browser().post("/account/password/reset", {"token": token, "password": PASSWORD}).status == 200
    assert people.browser(ada.email).sign_in().status == 200
    assert signed_in(people).person_id == ada.person_id


def test_a_person_is_known_by_an_address_that_the_provider_vouches_for(
    people: People, idp: IdentityProviderStandIn
) -> None:
    ada = people.newcomer()
    idp.person = somebody(people, email=ada.email.upper())
    there = signed_in(people)
    assert there.person_id == ada.person_id
    assert idp.issuer in people.mail.letter_to(ada.email, "way to sign in was added")
    assert ada.get("/account/session").status == 200, "other sessions go on"
    assert people.browser(ada.email).sign_in().status == 200, "the password works on"

    (known,) = ada.get("/account/identities").json["data"]
    assert people.newcomer("Eve").delete(f"/account/identities/{known['id']}").status == 404
    assert ada.delete(f"/account/identities/{known['id']}").status == 200
    assert ada.delete(f"/account/identities/{known['id']}").status == 404
    assert ada.get("/account/identities").json["data"] == []
    assert actions(ada)[0] == "identity.removed"


def test_an_address_that_only_looks_like_somebodys_in_lower_case_opens_no_account(
    people: People, idp: IdentityProviderStandIn
) -> None:
    kate = people.newcomer("Kate")
    # A Kelvin sign, which is a k in lower case: another mailbox, which the provider may well have verified.
    idp.person = {**somebody(people, "Mallory"), "email": f"\u212a{kate.email.removeprefix('k')}"}
    refused = Visitor(people.base_url).sign_in("corp")
    assert (refused.status, refused.code) == (403, "permission_denied")
    assert kate.get("/account/identities").json["data"] == []


@pytest.mark.parametrize("verified", [False, None, "true", 1])
def test_an_address_that_is_not_verified_opens_no_account(
    people: People, idp: IdentityProviderStandIn, verified: object
) -> None:
    ada = people.newcomer()
    for email in (ada.email, people.new_email()):
        idp.person = {**somebody(people, email=email), "email_verified": verified}
        visitor = Visitor(people.base_url)
        back = visitor.sign_in("corp")
        assert (back.status, back.code) == (403, "permission_denied")
        assert visitor.browser().get("/account/session").status == 401
    assert ada.get("/account/identities").json["data"] == []


def test_an_address_given_to_somebody_else_there_does_not_open_the_account(
    people: People, idp: IdentityProviderStandIn
) -> None:
    idp.person = somebody(people)
    ada = signed_in(people)
    idp.person = {**idp.person, "sub": f"the next {ada.email}"}
    visitor = Visitor(people.base_url)
    back = visitor.sign_in("corp")
    assert (back.status, back.code) == (403, "permission_denied")
    assert visitor.browser().get("/account/session").status == 401


def test_the_same_subject_at_another_provider_is_another_person(
    people: People, idp: IdentityProviderStandIn, providers: tuple[IdentityProviderStandIn, IdentityProviderStandIn]
) -> None:
    club = providers[1]
    idp.person = somebody(people)
    ada = signed_in(people)
    club.person = {**somebody(people, "Bob"), "sub": idp.person["sub"]}
    assert signed_in(people, "club").person_id != ada.person_id
    club.person = {**somebody(people), "email": ada.email}
    assert signed_in(people, "club").person_id == ada.person_id, "one person may have an identity at each"


def test_the_second_factor_is_asked_for_all_the_same(people: People, idp: IdentityProviderStandIn) -> None:
    ada = people.newcomer()
    totp = pyotp.TOTP(ada.post("/account/second-factor", {"password": PASSWORD}).json["secret"])
    used = totp.at(int(time.time()) - 30)
    codes = ada.post("/account/second-factor/confirm", {"code": used}).json["recovery_codes"]
    idp.person = somebody(people, email=ada.email)

    visitor = Visitor(people.base_url)
    back = visitor.sign_in("corp")
    assert (back.status, back.location) == (303, f"{people.base_url}/sign-in/second-factor")
    browser = visitor.browser()
    assert browser.get("/account/session").status == 401
    assert ada.get("/account/identities").json["data"] == [], "nothing is linked before the code"
    for wrong in ("000000", used, ""):
        assert browser.post("/account/oidc/second-factor", {"code": wrong}).code == "second_factor_required"
    assert Browser(people.base_url).post("/account/oidc/second-factor", {"code": codes[0]}).code == "invalid_request"
    waiting = Browser(people.base_url, cookie=browser.cookie)
    done = browser.post("/account/oidc/second-factor", {"code": codes[0]})
    assert (done.status, done.json["person"]["id"]) == (200, ada.person_id)
    assert waiting.post("/account/oidc/second-factor", {"code": codes[1]}).code == "invalid_request"
    assert len(ada.get("/account/identities").json["data"]) == 1


def refused(visitor: Visitor, url: str, code: str = "invalid_request") -> None:
    back = visitor.get(url)
    assert back.code == code, back.text
    assert "tessera-session" not in visitor.jar


def test_a_sign_in_is_finished_once_by_the_browser_that_began_it(people: People, idp: IdentityProviderStandIn) -> None:
    idp.person = somebody(people)
    visitor = Visitor(people.base_url)
    url = visitor.begin("corp")
    mine = dict(visitor.jar)

    asked = len(idp.asked)
    refused(Visitor(people.base_url), url)
    eve = Visitor(people.base_url)
    eve.begin("corp")
    refused(eve, url)
    refused(Visitor(people.base_url, {**mine, "tessera-sign-in": mine["tessera-sign-in"][:-1] + "x"}), url)
    for changed in ({"state": ""}, {"state": "0" * 64}, {"state": "é"}):
        refused(visitor, with_query(url, **changed))
    refused(visitor, f"{url}&state=twice")
    assert len(idp.asked) == asked + 1, "only Eve's own way there; no code was brought to the provider"

    assert visitor.get(url).status == 303
    refused(Visitor(people.base_url, mine), url)


def test_an_answer_of_one_provider_is_not_taken_for_another_ones(
    people: People, idp: IdentityProviderStandIn, providers: tuple[IdentityProviderStandIn, IdentityProviderStandIn]
) -> None:
    idp.person = somebody(people)
    visitor, asked = Visitor(people.base_url), list(providers[1].asked)
    refused(visitor, visitor.begin("corp").replace("/corp/", "/club/"))
    assert providers[1].asked == asked, "nothing was brought there"
    idp.says_issuer = True
    url = visitor.begin("corp")
    refused(visitor, with_query(url, iss=providers[1].issuer), "sign_in_failed")
    refused(visitor, url)


def test_a_code_that_another_browser_brought_is_refused(people: People, idp: IdentityProviderStandIn) -> None:
    """Login CSRF: a code of the attacker's, put into the victim's own sign-in, fails by PKCE and by the nonce."""
    idp.person = somebody(people, "Eve")
    stolen = dict(parse_qsl(urlsplit(Visitor(people.base_url).begin("corp")).query))["code"]
    visitor = Visitor(people.base_url)
    refused(visitor, with_query(visitor.begin("corp"), code=stolen), "sign_in_failed")


def test_a_sign_in_that_took_too_long_has_ended(people: People, idp: IdentityProviderStandIn) -> None:
    pepper = load_secrets(people.server.data_dir).pepper
    for age, code in ((601, "invalid_request"), (540, "sign_in_failed")):
        kept = f"{int(time.time()) - age}.{'0' * 64}"
        state = key_digest(f"oidc-state:corp:{kept}", pepper).hex()
        visitor = Visitor(people.base_url, {"tessera-sign-in": kept})
        refused(visitor, f"/account/oidc/corp/callback?{urlencode({'state': state, 'code': 'made up'})}", code)


def test_who_changes_their_mind_there_is_not_signed_in(people: People, idp: IdentityProviderStandIn) -> None:
    idp.person, idp.refuses = somebody(people), "access_denied"
    visitor = Visitor(people.base_url)
    url = visitor.begin("corp")
    refused(visitor, url, "sign_in_failed")
    refused(visitor, url)
    idp.refuses = None
    refused(visitor, with_query(visitor.begin("corp"), code=""), "sign_in_failed")


def test_of_many_who_bring_one_answer_at_once_one_is_signed_in(people: People, idp: IdentityProviderStandIn) -> None:
    idp.person = somebody(people)
    visitor = Visitor(people.base_url)
    url = visitor.begin("corp")
    answers: list[Answer] = []
    threads = [
        threading.Thread(target=lambda: answers.append(Visitor(people.base_url, dict(visitor.jar)).get(url)))
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answer.status for answer in answers) == [303, 400, 400, 400, 400, 400]


def test_an_answer_that_cannot_be_trusted_signs_nobody_in(people: People, idp: IdentityProviderStandIn) -> None:
    idp.person = somebody(people)
    idp.claims = {"nonce": "another"}
    visitor = Visitor(people.base_url)
    refused(visitor, visitor.begin("corp"), "sign_in_failed")
    idp.forget()
    idp.keys[0].key, key = made_key("RSA", 2048, 1), idp.keys[0].key
    try:
        assert signed_in(people).email == idp.person["email"], "a key that was exchanged under its name is fetched"
    finally:
        idp.keys[0].key = key
    assert "nonce is not" in people.server.log.read_text()


def test_an_erased_person_is_somebody_new_there(people: People, idp: IdentityProviderStandIn) -> None:
    idp.person = somebody(people)
    ada = signed_in(people)
    people.browser().post("/account/password/forget", {"email": ada.email})
    token = people.mail.token_to(ada.email, "new password")
    assert people.browser().post("/account/password/reset", {"token": token, "password": PASSWORD}).status == 200
    ada = signed_in(people)
    export = ada.get("/account/person/export").json
    assert [one["issuer"] for one in export["identities"]] == [idp.issuer]
    assert ada.post("/account/person/erase", {"password": PASSWORD}).status == 200
    assert signed_in(people).person_id != ada.person_id


def test_the_providers_are_listed_and_no_other_one_is_there(people: People) -> None:
    shown = people.browser().get("/account/oidc").json["data"]
    assert [one["id"] for one in shown] == ["corp", "club"]
    assert shown[0]["start_url"] == f"{people.base_url}/account/oidc/corp/start"
    for path in ("/account/oidc/other/start", "/account/oidc/other/callback?state=x&code=y"):
        assert Visitor(people.base_url).get(path).code == "not_found"
    assert Visitor(people.base_url).get("/account/oidc/corp/start?next=//evil.example").code == "invalid_request"


def test_the_clients_secret_and_what_signs_in_are_nowhere_to_be_found(
    people: People, idp: IdentityProviderStandIn
) -> None:
    idp.person = somebody(people)
    visitor = Visitor(people.base_url)
    url = visitor.begin("corp")
    secrets = {CLIENT_SECRET, *visitor.jar.values(), *dict(parse_qsl(urlsplit(url).query)).values()}
    assert visitor.get(url).status == 303
    secrets |= set(visitor.jar.values()) | {"access-token"}
    log = people.server.log.read_text()
    kept = b"".join(path.read_bytes() for path in sorted(people.server.data_dir.glob("tessera.db*")))
    assert idp.issuer.encode() in kept, "the database was really read"
    for secret in secrets - {"x"}:
        assert secret not in log
        assert secret.encode() not in kept
