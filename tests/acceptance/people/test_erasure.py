"""Copies of what is kept, and its end: who somebody was is gone, and every chain stays whole."""

import sqlite3

from people_calls import PASSWORD, Browser, People, send

CHAT = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hello"}]}


def call_once(people: People, owner: Browser) -> str:
    keys = f"{owner.at()}/projects/{owner.project()}/api_keys"
    key = owner.post(keys, {"name": f"key of {owner.email}", "mode": "test"}).json["value"]
    headers = {"Authorization": f"Bearer {key}", "Idempotency-Key": "once"}
    assert send(people.base_url, "POST", "/v1/chat/completions", CHAT, headers).status == 200
    return str(key)


def everything_kept(people: People) -> bytes:
    """The text of every row of the database; free pages are not part of it."""
    connection = sqlite3.connect(f"{(people.server.data_dir / 'tessera.db').as_uri()}?mode=ro", uri=True)
    try:
        return "\n".join(connection.iterdump()).encode()
    finally:
        connection.close()


def test_a_person_gets_a_copy_of_what_is_kept(people: People) -> None:
    ada = people.newcomer()
    call_once(people, ada)
    copy = ada.get("/account/person/export").json
    assert copy["person"]["email"] == ada.email
    assert [one["role"] for one in copy["memberships"]] == ["owner"]
    assert [one["name"] for one in copy["api_keys_made"]] == [f"key of {ada.email}"]
    assert {"person.signed_up", "person.signed_in", "api_key.created"} <= {
        one["action"] for one in copy["audit_events"]
    }
    assert copy["sessions"][0]["address"] == "127.0.0.1"


def test_an_owner_gets_a_copy_of_what_is_kept_of_an_organization(people: People) -> None:
    ada = people.newcomer()
    member = people.member(ada, "viewer")
    copy = ada.get(f"{ada.at()}/export").json
    assert {one["email"] for one in copy["members"]} == {ada.email, member.email}
    assert [one["name"] for one in copy["projects"]] == ["default"]
    assert [one["email"] for one in copy["invitations"]] == [member.email]


def test_an_erased_person_is_nowhere_in_the_database_and_the_ledger_stays_whole(people: People) -> None:
    ada = people.newcomer("Adalberta")
    phone = people.browser(ada.email)
    phone.sign_in()
    key, admin_key = call_once(people, ada), ada.admin_key("Adalberta's")
    assert b"Adalberta" in everything_kept(people)
    assert ada.post("/account/person/erase", {"password": "not this one"}).status == 401
    assert ada.post("/account/person/erase", {"password": PASSWORD}).status == 200
    assert phone.get("/account/session").status == 401
    assert people.browser(ada.email).sign_in().status == 401
    assert send(people.base_url, "GET", "/v1/balance", None, {"Authorization": f"Bearer {key}"}).status == 401
    admin = {"Authorization": f"Bearer {admin_key}"}
    assert send(people.base_url, "GET", "/v1/organization/users", None, admin).status == 401
    kept = everything_kept(people)
    assert b"Adalberta" not in kept
    assert ada.email.encode() not in kept
    assert ada.person_id.encode() in kept, "the audit log still says that somebody did it"
    people.server.verify()


def test_the_address_of_an_erased_person_can_sign_up_again_as_somebody_else(people: People) -> None:
    ada = people.newcomer()
    ada.post("/account/person/erase", {"password": PASSWORD})
    again = people.browser(ada.email)
    again.post("/account/sign-up", {"email": ada.email, "name": "Ada", "password": PASSWORD})
    token = people.mail.token_to(ada.email, "Confirm", number=2)
    made = again.post("/account/sign-up/confirm", {"token": token, "password": PASSWORD})
    assert made.status == 200
    assert made.json["person"]["id"] != ada.person_id


def test_an_owner_others_depend_on_is_not_erased(people: People) -> None:
    ada = people.newcomer()
    member = people.member(ada, "admin")
    assert ada.post("/account/person/erase", {"password": PASSWORD}).status == 400
    assert ada.get("/account/session").status == 200
    ada.post(f"{ada.at()}/users/{member.person_id}", {"role": "owner"})
    assert ada.post("/account/person/erase", {"password": PASSWORD}).status == 200
    assert member.get(f"{ada.at()}/users").json["data"] == [
        one for one in member.get(f"{ada.at()}/users").json["data"] if one["id"] == member.person_id
    ]


def test_a_deleted_organization_is_gone_and_its_money_stays_in_the_books(people: People) -> None:
    ada = people.newcomer("Zuleika")
    member = people.member(ada, "admin")
    key = call_once(people, ada)
    assert member.post(f"{ada.at()}/delete", {"password": PASSWORD}).status == 403
    assert ada.post(f"{ada.at()}/delete", {"password": "not this one"}).status == 401
    assert ada.post(f"{ada.at()}/delete", {"password": PASSWORD}).status == 200
    assert ada.get(ada.at()).status == 404
    assert ada.get("/account/organizations").json["data"] == []
    assert send(people.base_url, "GET", "/v1/balance", None, {"Authorization": f"Bearer {key}"}).status == 401
    for words in (
        ("keys", "create"),
        ("credit", "add", "--amount", "5.00"),
        ("members", "invite", people.new_email()),
        ("webhooks", "add", "https://example.com/hook"),
    ):
        refused = people.server.tessera(*words, "--org", ada.organization, check=False)
        assert (refused.returncode, refused.stdout) == (1, "")
        assert "not_found" in refused.stderr
    assert ada.get("/account/session").status == 200
    people.server.verify()


def test_an_organization_with_live_money_is_not_deleted(people: People) -> None:
    ada = people.newcomer()
    people.server.tessera("credit", "add", "--org", ada.organization, "--mode", "live", "--amount", "5.00")
    refused = ada.post(f"{ada.at()}/delete", {"password": PASSWORD})
    assert (refused.status, refused.code) == (400, "invalid_request")
    assert ada.post("/account/person/erase", {"password": PASSWORD}).status == 400
    assert ada.get(ada.at()).status == 200
