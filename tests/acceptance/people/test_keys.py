"""API keys over HTTP, and OpenAI's administration with its own client."""

import json
import time

import openai
import pytest

from people_calls import Browser, People, Reply, send
from tessera.domain.auth import make_admin_key, make_key
from tessera.domain.money import Mode, parse_usd


def call(people: People, key: str) -> Reply:
    return send(people.base_url, "GET", "/v1/balance", None, {"Authorization": f"Bearer {key}"})


def keys_of(browser: Browser) -> str:
    return f"{browser.at()}/projects/{browser.project()}/api_keys"


def test_a_key_is_shown_once_works_and_is_revoked_for_good(people: People) -> None:
    ada = people.newcomer()
    made = ada.post(keys_of(ada), {"name": "laptop", "mode": "test"}).json
    secret = made.pop("value")
    assert secret.startswith("sk-tess-test-")
    assert call(people, secret).json["mode"] == "test"
    assert ada.get(f"{keys_of(ada)}/{made['id']}").json == made
    assert made["redacted_value"] == f"{secret[:16]}…{secret[-4:]}"
    assert secret not in ada.get(keys_of(ada)).text
    assert ada.delete(f"{keys_of(ada)}/{made['id']}").status == 200
    assert call(people, secret).status == 401
    assert ada.get(f"{keys_of(ada)}/{made['id']}").json["status"] == "ended"
    assert ada.delete(f"{keys_of(ada)}/{made['id']}").status == 200


def test_a_key_ends_at_its_expiry_even_when_it_was_just_used(people: People) -> None:
    ada = people.newcomer()
    made = ada.post(keys_of(ada), {"mode": "test", "expires_at": int(time.time()) + 3}).json
    assert call(people, made["value"]).status == 200
    assert call(people, made["value"]).status == 200
    time.sleep(max(0.0, made["expires_at"] - time.time()) + 0.1)
    assert call(people, made["value"]).status == 401


@pytest.mark.parametrize(
    "body",
    [
        {"mode": "both"},
        {"expires_at": 1},
        {"expires_at": 2**39},
        {"expires_at": "soon"},
        {"name": "a\nb"},
        {"scope": 1},
    ],
)
def test_a_key_that_makes_no_sense_is_refused(people: People, body: dict[str, object]) -> None:
    ada = people.newcomer()
    assert ada.post(keys_of(ada), body).status == 400
    assert ada.get(keys_of(ada)).json["data"] == []


def test_a_key_says_whose_it_is_and_whether_they_are_still_there(people: People) -> None:
    owner = people.newcomer()
    member = people.member(owner, "developer")
    key = member.post(keys_of(member), {"mode": "test"}).json
    assert (key["owner"]["user"]["id"], key["owner_project_access"]) == (member.person_id, "active")
    assert owner.delete(f"{owner.at()}/users/{member.person_id}").status == 200
    left = owner.get(f"{keys_of(owner)}/{key['id']}").json
    assert (left["owner"], left["owner_project_access"]) == (
        {"type": "user", "service_account": None, "user": None},
        "inactive",
    )
    people.server.tessera("keys", "create", "--org", owner.organization, "--mode", "test")
    operators = owner.get(keys_of(owner)).json["data"][-1]
    assert operators["owner"]["service_account"]["id"] == owner.project()
    assert (operators["owner"]["type"], operators["owner_project_access"]) == ("service_account", "active")


def test_a_rotated_key_works_beside_the_new_one_for_the_overlap(people: People) -> None:
    ada = people.newcomer()
    old = ada.post(keys_of(ada), {"name": "laptop", "mode": "test"}).json
    new = ada.post(f"{keys_of(ada)}/{old['id']}/rotate", {"overlap_seconds": 3}).json
    assert (new["name"], new["mode"], new["expires_at"]) == ("laptop", "test", None)
    assert (call(people, old["value"]).status, call(people, new["value"]).status) == (200, 200)
    time.sleep(3.2)
    assert (call(people, old["value"]).status, call(people, new["value"]).status) == (401, 200)
    assert ada.post(f"{keys_of(ada)}/{old['id']}/rotate", {"overlap_seconds": 3}).status == 404
    at_once = ada.post(f"{keys_of(ada)}/{new['id']}/rotate", {}).json
    assert (call(people, new["value"]).status, call(people, at_once["value"]).status) == (401, 200)
    assert ada.post(f"{keys_of(ada)}/{at_once['id']}/rotate", {"overlap_seconds": 2**31}).status == 400


def test_a_rotated_key_is_bound_as_the_old_one_was(people: People) -> None:
    ada = people.newcomer()
    old = ada.post(keys_of(ada), {"mode": "test"}).json
    limits = ("limits", "set", "--org", ada.organization, "--mode", "test", "--key", old["id"])
    people.server.tessera(*limits, "--requests-per-minute", "1", "--budget-total", "1.00")
    headers = {"Authorization": f"Bearer {old['value']}"}
    chat = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hello"}]}
    spent = send(people.base_url, "POST", "/v1/chat/completions", chat, headers).json["usage"]["charge_nanos"]
    assert 0 < spent < 10**9
    new = ada.post(f"{keys_of(ada)}/{old['id']}/rotate", {"overlap_seconds": 60}).json
    listed = people.server.tessera("limits", "list", "--org", ada.organization, "--mode", "test", "--json").stdout
    (meter,) = [one for one in json.loads(listed) if one["id"] == new["id"]]
    assert meter["requests_per_minute"] == 1
    assert parse_usd(meter["budget_total"]) == 10**9 - spent
    headers = {"Authorization": f"Bearer {new['value']}"}
    statuses = [send(people.base_url, "POST", "/v1/chat/completions", chat, headers).status for _ in range(2)]
    assert statuses == [200, 429]


def test_an_archived_project_has_no_key_that_works_and_takes_no_new_one(people: People) -> None:
    ada = people.newcomer()
    project = ada.post(f"{ada.at()}/projects", {"name": "short"}).json["id"]
    path = f"{ada.at()}/projects/{project}"
    key = ada.post(f"{path}/api_keys", {"mode": "test"}).json
    assert call(people, key["value"]).status == 200
    assert ada.post(f"{path}/archive").json["status"] == "archived"
    assert call(people, key["value"]).status == 401
    assert ada.post(f"{path}/api_keys", {"mode": "test"}).status == 400
    assert ada.post(path, {"name": "again"}).status == 400
    assert project not in [one["id"] for one in ada.get(f"{ada.at()}/projects").json["data"]]
    listed = ada.get(f"{ada.at()}/projects?include_archived=true").json["data"]
    assert project in [one["id"] for one in listed]
    assert ada.post(f"{ada.at()}/projects", {"name": "default"}).status == 400


def test_openais_own_client_administers_an_organization(people: People) -> None:
    owner = people.newcomer()
    member = people.member(owner, "viewer")
    with openai.OpenAI(
        base_url=people.server.api, api_key="unused", admin_api_key=owner.admin_key(), max_retries=0
    ) as client:
        organization = client.admin.organization
        assert {user.id for user in organization.users.list()} == {owner.person_id, member.person_id}
        assert [user.id for user in organization.users.list(emails=[member.email, "nobody@example.com"])] == [
            member.person_id
        ]
        assert list(organization.users.list(emails=["nobody@example.com"])) == []
        assert organization.users.update(member.person_id, role="developer").role == "developer"
        assert organization.users.retrieve(member.person_id).role == "developer"
        project = organization.projects.create(name="by the client")
        assert organization.projects.retrieve(project.id).status == "active"
        assert organization.projects.update(project.id, name="renamed").name == "renamed"
        assert project.id in {one.id for one in organization.projects.list(limit=1)}
        owner.post(f"{owner.at()}/projects/{project.id}/api_keys", {"mode": "test"})
        (key,) = organization.projects.api_keys.list(project.id)
        assert organization.projects.api_keys.retrieve(key.id, project_id=project.id).id == key.id
        assert (key.owner.type, key.owner_project_access) == ("user", "active")
        assert key.owner.user is not None
        assert (key.owner.user.id, key.owner.user.email) == (owner.person_id, owner.email)
        assert organization.projects.api_keys.delete(key.id, project_id=project.id).deleted
        assert organization.projects.archive(project.id).status == "archived"
        invite = organization.invites.create(email=people.new_email(), role="reader")
        assert (invite.status, organization.invites.retrieve(invite.id).role) == ("pending", "viewer")
        assert invite.id in {one.id for one in organization.invites.list()}
        assert organization.invites.delete(invite.id).deleted
        made = organization.admin_api_keys.create(name="second", expires_in_seconds=60)
        assert made.value.startswith("sk-tess-admin-")
        assert organization.admin_api_keys.retrieve(made.id).name == "second"
        oldest_first = [one.id for one in organization.admin_api_keys.list(order="asc")]
        assert len(oldest_first) == 2
        assert [one.id for one in organization.admin_api_keys.list(limit=1, order="desc")] == oldest_first[::-1]
        assert organization.admin_api_keys.delete(made.id).deleted
        assert organization.users.delete(member.person_id).deleted
        (removed,) = organization.audit_logs.list(event_types=["member.removed"])
        assert removed.type == "member.removed"
        logs = organization.audit_logs
        assert [one.id for one in logs.list(resource_ids=[member.person_id], actor_ids=["nobody"])] == []
        assert removed.id in [one.id for one in logs.list(resource_ids=[member.person_id])]
        at = removed.effective_at
        assert removed.id in [one.id for one in logs.list(effective_at={"gte": at, "lt": at + 1})]
        assert list(logs.list(effective_at={"gt": at + 60})) == []


def admin(people: People, key: str, method: str = "GET", path: str = "users", body: object = None) -> Reply:
    headers = {"Authorization": f"Bearer {key}"}
    return send(people.base_url, method, f"/v1/organization/{path}", body, headers)


def test_an_admin_key_may_do_what_its_maker_may_do_now(people: People) -> None:
    owner = people.newcomer()
    second = people.member(owner, "admin")
    key = second.admin_key()
    assert admin(people, key).status == 200
    owner.post(f"{owner.at()}/users/{second.person_id}", {"role": "viewer"})
    assert admin(people, key).status == 200
    assert admin(people, key, "POST", "projects", {"name": "p"}).status == 403
    owner.post(f"{owner.at()}/users/{second.person_id}", {"role": "admin"})
    assert admin(people, key, "POST", "projects", {"name": "p"}).status == 200
    owner.delete(f"{owner.at()}/users/{second.person_id}")
    assert admin(people, key).status == 401


def test_an_admin_key_is_revoked_and_expires_at_once(people: People) -> None:
    owner = people.newcomer()
    made = owner.post(f"{owner.at()}/admin_api_keys", {"name": "a"}).json
    short = owner.post(f"{owner.at()}/admin_api_keys", {"name": "b", "expires_in_seconds": 2}).json
    assert (admin(people, made["value"]).status, admin(people, short["value"]).status) == (200, 200)
    owner.delete(f"{owner.at()}/admin_api_keys/{made['id']}")
    assert admin(people, made["value"]).status == 401
    time.sleep(2.1)
    assert admin(people, short["value"]).status == 401


def test_an_admin_key_makes_no_calls_and_a_key_for_calls_administers_nothing(people: People) -> None:
    owner = people.newcomer()
    admin_key = owner.admin_key()
    for method, path in (
        ("GET", "/v1/balance"),
        ("GET", "/v1/topups"),
        ("POST", "/v1/chat/completions"),
        ("GET", "/v1/events"),
    ):
        for headers in ({"Authorization": f"Bearer {admin_key}"}, {"x-api-key": admin_key}):
            reply = send(people.base_url, method, path, {} if method == "POST" else None, headers)
            assert reply.status == 403, (path, reply.text)
    assert (call(people, admin_key).code, "admin key" in call(people, admin_key).text) == ("permission_denied", True)
    key = owner.post(keys_of(owner), {"mode": "live"}).json["value"]
    reply = admin(people, key)
    assert (reply.status, reply.code) == (403, "permission_denied")


def test_keys_that_do_not_work_are_the_same_everywhere(people: People) -> None:
    owner = people.newcomer()
    made = owner.post(f"{owner.at()}/admin_api_keys", {"name": "a"}).json
    owner.delete(f"{owner.at()}/admin_api_keys/{made['id']}")
    unknown = make_key(Mode.LIVE, b"x" * 30), make_admin_key(b"x" * 30)
    replies = [ask(people, key) for ask in (call, admin) for key in (made["value"], *unknown, "sk-tess-admin-none")]
    assert {reply.status for reply in replies} == {401}
    assert len({reply.text for reply in replies}) == 1
