"""`tessera members`, beside a running server."""

import json

from people_calls import PASSWORD, People


def test_members_are_invited_listed_changed_and_removed(people: People) -> None:
    run = people.server.tessera
    name = f"works {people.new_email()}"
    made = json.loads(run("orgs", "create", name, "--json").stdout)
    email = people.new_email("bob")
    invited = json.loads(run("members", "invite", email, "--org", name, "--role", "owner", "--json").stdout)
    bob = people.browser(email)
    token = invited["link"].rpartition("#")[2]
    joined = bob.post("/account/sign-up/invited", {"token": token, "name": "Bob", "password": PASSWORD})
    assert joined.status == 200
    assert bob.get(bob.at(made["id"])).json["role"] == "owner"
    (listed,) = json.loads(run("members", "list", "--org", name, "--json").stdout)
    assert (listed["email"], listed["role"]) == (email, "owner")
    refused = run("members", "remove", email, "--org", name, check=False)
    assert refused.returncode == 1
    assert "last owner" in refused.stderr
    ada = people.newcomer()
    second = json.loads(run("members", "invite", ada.email, "--org", name, "--role", "owner", "--json").stdout)
    assert ada.post("/account/invitations/accept", {"token": second["link"].rpartition("#")[2]}).status == 200
    changed = json.loads(run("members", "role", email, "viewer", "--org", name, "--json").stdout)
    assert changed["role"] == "viewer"
    assert bob.post(bob.at(made["id"]), {"name": "mine"}).status == 403
    assert email in run("members", "remove", email.upper(), "--org", name).stdout
    assert bob.get(bob.at(made["id"])).status == 404
    events = ada.get(f"{ada.at(made['id'])}/audit_logs").json["data"]
    assert {"type": "operator", "id": "operator"} in [event["actor"] for event in events]


def test_an_operator_is_made_and_unmade_and_the_last_one_stays(people: People) -> None:
    run = people.server.tessera
    ada, bob = people.newcomer(), people.newcomer("Bob")
    for one in (ada, bob):
        assert json.loads(run("members", "operator", one.email, "--json").stdout)["is_operator"]
        assert one.get("/account/session").json["person"]["is_operator"]
    assert run("members", "operator", ada.email, "--remove").returncode == 0
    assert not ada.get("/account/session").json["person"]["is_operator"]
    last = run("members", "operator", bob.email, "--remove", check=False)
    assert (last.returncode, "last operator" in last.stderr) == (1, True)
    assert bob.post("/account/person/erase", {"password": PASSWORD}).status == 400
    assert run("members", "operator", people.new_email(), check=False).returncode == 1


def test_a_member_nobody_knows_and_a_wrong_address_are_refused(people: People) -> None:
    name = f"works {people.new_email()}"
    people.server.tessera("orgs", "create", name)
    unknown = people.server.tessera("members", "remove", "nobody@example.com", "--org", name, check=False)
    assert (unknown.returncode, "There is no member" in unknown.stderr) == (1, True)
    assert people.server.tessera("members", "invite", "nobody", "--org", name, check=False).returncode == 1
    wrong = people.server.tessera("members", "invite", "a@example.com", "--org", name, "--role", "root", check=False)
    assert wrong.returncode == 2
