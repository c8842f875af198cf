"""Organizations, members and their roles, invitations."""

import threading

import pytest

from people_calls import PASSWORD, People

ROLES = ("owner", "admin", "developer", "billing", "viewer")


def test_a_person_makes_and_names_an_organization(people: People) -> None:
    ada = people.newcomer()
    made = ada.post("/account/organizations", {"name": f"Works {ada.email}"}).json
    assert made["role"] == "owner"
    renamed = ada.post(ada.at(made["id"]), {"name": f"Mills {ada.email}"}).json
    assert renamed["name"] == f"Mills {ada.email}"
    names = [one["name"] for one in ada.get("/account/organizations").json["data"]]
    assert renamed["name"] in names
    taken = ada.post(ada.at(), {"name": renamed["name"]})
    assert (taken.status, taken.json["error"]["param"]) == (400, "name")


@pytest.mark.parametrize("name", ["", " ", "a\nb", "x" * 201, "org_0123", "data:," + "x" * 5_000])
def test_a_bad_name_is_refused(people: People, name: str) -> None:
    ada = people.newcomer()
    assert ada.post("/account/organizations", {"name": name}).status == 400
    assert ada.post(ada.at(), {"name": name}).status == 400


@pytest.mark.parametrize("role", ROLES)
def test_an_invitation_makes_a_member_with_its_role_once(people: People, role: str) -> None:
    owner = people.newcomer()
    member = people.member(owner, role)
    assert member.get(member.at()).json["role"] == role
    listed = {one["id"]: one["role"] for one in owner.get(f"{owner.at()}/users").json["data"]}
    assert listed == {owner.person_id: "owner", member.person_id: role}
    (invite,) = owner.get(f"{owner.at()}/invites").json["data"]
    assert (invite["status"], invite["email"]) == ("accepted", member.email)
    token = people.mail.token_to(member.email, "invited")
    again = people.browser().post("/account/sign-up/invited", {"token": token, "name": "X", "password": PASSWORD})
    assert again.status == 400


def test_somebody_with_an_account_accepts_while_signed_in_and_nobody_else_can(people: People) -> None:
    owner, bob, eve = people.newcomer(), people.newcomer("Bob"), people.newcomer("Eve")
    assert owner.post(f"{owner.at()}/invites", {"email": bob.email, "role": "developer"}).status == 200
    token = people.mail.token_to(bob.email, "invited")
    stolen = eve.post("/account/invitations/accept", {"token": token})
    assert (stolen.status, stolen.code) == (403, "permission_denied")
    assert eve.get(owner.at()).status == 404
    joined = bob.post("/account/invitations/accept", {"token": token})
    assert (joined.status, joined.json["role"]) == (200, "developer")
    assert bob.post("/account/invitations/accept", {"token": token}).status == 400


def test_an_invitation_can_be_withdrawn_and_a_new_one_replaces_it(people: People) -> None:
    owner, email = people.newcomer(), people.new_email("bob")
    first = owner.post(f"{owner.at()}/invites", {"email": email, "role": "viewer"}).json
    second = owner.post(f"{owner.at()}/invites", {"email": email, "role": "admin"}).json
    tokens = [people.mail.token_to(email, "invited", number=2)]
    assert owner.get(f"{owner.at()}/invites/{first['id']}").json["status"] == "withdrawn"
    assert owner.delete(f"{owner.at()}/invites/{second['id']}").status == 200
    assert owner.delete(f"{owner.at()}/invites/{second['id']}").status == 404
    for token in tokens:
        body = {"token": token, "name": "Bob", "password": PASSWORD}
        assert people.browser().post("/account/sign-up/invited", body).status == 400


def test_a_member_is_not_invited_again(people: People) -> None:
    owner = people.newcomer()
    member = people.member(owner, "viewer")
    assert owner.post(f"{owner.at()}/invites", {"email": member.email, "role": "admin"}).status == 400


def test_nobody_gives_more_than_they_have_or_acts_on_an_equal(people: People) -> None:
    owner = people.newcomer()
    admin, other_admin, viewer = (people.member(owner, role) for role in ("admin", "admin", "viewer"))
    users = f"{owner.at()}/users"
    assert admin.post(f"{owner.at()}/invites", {"email": people.new_email(), "role": "owner"}).status == 403
    assert admin.post(f"{users}/{viewer.person_id}", {"role": "owner"}).status == 403
    assert admin.post(f"{users}/{owner.person_id}", {"role": "viewer"}).status == 403
    assert admin.post(f"{users}/{other_admin.person_id}", {"role": "viewer"}).status == 403
    assert admin.delete(f"{users}/{owner.person_id}").status == 403
    assert admin.delete(f"{users}/{other_admin.person_id}").status == 403
    assert admin.post(f"{users}/{admin.person_id}", {"role": "owner"}).status == 403
    assert admin.post(f"{users}/{viewer.person_id}", {"role": "admin"}).status == 200
    assert {one["id"]: one["role"] for one in owner.get(users).json["data"]} == {
        owner.person_id: "owner",
        admin.person_id: "admin",
        other_admin.person_id: "admin",
        viewer.person_id: "admin",
    }


def test_a_change_of_role_acts_at_once(people: People) -> None:
    owner = people.newcomer()
    developer = people.member(owner, "developer")
    keys = f"{owner.at()}/projects/{owner.project()}/api_keys"
    assert developer.post(keys, {"name": "mine", "mode": "test"}).status == 200
    owner.post(f"{owner.at()}/users/{developer.person_id}", {"role": "viewer"})
    assert developer.post(keys, {"name": "mine", "mode": "test"}).status == 403
    owner.delete(f"{owner.at()}/users/{developer.person_id}")
    assert developer.get(owner.at()).status == 404


def test_the_last_owner_can_neither_leave_nor_step_down(people: People) -> None:
    owner = people.newcomer()
    admin = people.member(owner, "admin")
    assert owner.post(f"{owner.at()}/leave").status == 400
    assert owner.post(f"{owner.at()}/users/{owner.person_id}", {"role": "admin"}).status == 400
    assert owner.delete(f"{owner.at()}/users/{owner.person_id}").status == 400
    assert owner.post(f"{owner.at()}/users/{admin.person_id}", {"role": "owner"}).status == 200
    assert owner.post(f"{owner.at()}/leave").status == 200
    assert admin.post(f"{owner.at()}/leave").status == 400


def test_of_two_owners_who_leave_at_once_one_stays(people: People) -> None:
    for _ in range(5):
        owner = people.newcomer()
        second = people.member(owner, "owner")
        together = threading.Barrier(2)
        statuses: list[int] = []

        def leave(browser: object, path: str = owner.at(), barrier: threading.Barrier = together) -> None:
            barrier.wait()
            statuses.append(browser.post(f"{path}/leave").status)  # type: ignore[attr-defined]  # noqa: B023

        threads = [threading.Thread(target=leave, args=(one,)) for one in (owner, second)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(statuses) == [200, 400]


def test_of_many_who_use_one_invitation_at_once_one_joins(people: People) -> None:
    owner, email = people.newcomer(), people.new_email("bob")
    owner.post(f"{owner.at()}/invites", {"email": email, "role": "viewer"})
    body = {"token": people.mail.token_to(email, "invited"), "name": "Bob", "password": PASSWORD}
    statuses: list[int] = []
    threads = [
        threading.Thread(target=lambda: statuses.append(people.browser().post("/account/sign-up/invited", body).status))
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [200, 400, 400, 400, 400, 400]
    assert len(owner.get(f"{owner.at()}/users").json["data"]) == 2


def test_lists_are_paged(people: People) -> None:
    owner = people.newcomer()
    made = [owner.post(f"{owner.at()}/projects", {"name": f"project {n}"}).json["id"] for n in range(5)]
    seen: list[str] = []
    after = ""
    while True:
        page = owner.get(f"{owner.at()}/projects?limit=2{after}").json
        assert len(page["data"]) <= 2
        seen += [one["id"] for one in page["data"]]
        if not page["has_more"]:
            break
        after = f"&after={page['last_id']}"
    assert seen[1:] == made
    for query in ("limit=0", "limit=101", "limit=x", "unknown=1", "after=", "include_archived=maybe"):
        assert owner.get(f"{owner.at()}/projects?{query}").status == 400


def test_every_act_is_in_the_audit_log(people: People) -> None:
    owner = people.newcomer()
    member = people.member(owner, "viewer")
    owner.post(f"{owner.at()}/users/{member.person_id}", {"role": "developer"})
    project = owner.post(f"{owner.at()}/projects", {"name": "new"}).json["id"]
    key = owner.post(f"{owner.at()}/projects/{project}/api_keys", {"mode": "test"}).json["id"]
    owner.delete(f"{owner.at()}/projects/{project}/api_keys/{key}")
    owner.post(f"{owner.at()}/projects/{project}/archive")
    admin_key = owner.post(f"{owner.at()}/admin_api_keys", {"name": "a"}).json["id"]
    owner.delete(f"{owner.at()}/admin_api_keys/{admin_key}")
    owner.delete(f"{owner.at()}/users/{member.person_id}")
    events = owner.get(f"{owner.at()}/audit_logs?limit=100").json["data"]
    assert [event["type"] for event in reversed(events)] == [
        "organization.created",
        "invitation.created",
        "invitation.accepted",
        "member.role_changed",
        "project.created",
        "api_key.created",
        "api_key.revoked",
        "project.archived",
        "admin_key.created",
        "admin_key.revoked",
        "member.removed",
    ]
    changed = events[-4]
    assert changed["actor"] == {"type": "person", "id": owner.person_id}
    assert changed["object_id"] == member.person_id
    assert changed["details"] == {"before": "viewer", "after": "developer", "address": "127.0.0.1"}


LISTS = ("users", "invites", "projects", "admin_api_keys", "alerts", "notices", "webhooks", "audit_logs")


def test_a_cursor_that_is_no_id_of_a_list_is_refused_and_one_of_a_removed_member_is_a_place(people: People) -> None:
    ada = people.newcomer()
    first, second = people.member(ada, "viewer"), people.member(ada, "viewer")
    for path in (*LISTS, f"projects/{ada.project()}/api_keys"):
        for after in ("zzz", "nope_1", "%00", "-", f"org_{'0' * 32}", f"person_{'0' * 31}"):
            reply = ada.get(f"{ada.at()}/{path}?after={after}")
            assert (reply.status, reply.json["error"]["param"]) == (400, "after"), (path, after)
    assert ada.delete(f"{ada.at()}/users/{first.person_id}").status == 200
    rest = ada.get(f"{ada.at()}/users?after={first.person_id}").json["data"]
    assert [one["id"] for one in rest] == [second.person_id]
