"""Every route of an organization × everybody who must not use it (T17, T22, T24), made from the one table of routes."""

import pytest

from people_calls import Browser, People, send
from people_objects import ORGANIZATION_ROUTES, ROLES, Full, body_of, by_key, names
from tessera.domain.people.roles import RIGHTS, Role
from tessera.http.route import Door, Route
from tessera.http.routes import ROUTES

MEMBER_ROUTES = [route for route in ORGANIZATION_ROUTES if route.door is Door.MEMBER]
ADMIN_ROUTES = [route for route in ORGANIZATION_ROUTES if route.door is Door.ADMIN]
OBJECT_ROUTES = [
    route
    for route in ORGANIZATION_ROUTES
    if any(f"{{{one}}}" in route.path for one in ("user", "invite", "project", "key"))
]
PERSON_ROUTES = [route for route in ROUTES if route.door is Door.PERSON]
OPERATOR_ROUTES = [route for route in ROUTES if route.door is Door.OPERATOR]
KEY_ROUTES = [route for route in ROUTES if route.door is Door.KEY]


def test_every_route_of_an_organization_demands_a_right() -> None:
    assert len(MEMBER_ROUTES) >= 25
    assert len(ADMIN_ROUTES) >= 20
    assert len(OBJECT_ROUTES) >= 24
    assert not [names(route) for route in ORGANIZATION_ROUTES if route.right is None]
    assert not [names(route) for route in MEMBER_ROUTES if "{organization}" not in route.path]


@pytest.mark.parametrize("route", MEMBER_ROUTES + PERSON_ROUTES + OPERATOR_ROUTES, ids=names)
def test_nobody_and_an_ended_session_are_not_signed_in(
    people: People, two_organizations: tuple[Full, Full], route: Route
) -> None:
    mine, _ = two_organizations
    path = mine.path(route)
    ended = Browser(people.base_url, mine.owner.email)
    ended.sign_in()
    kept = Browser(people.base_url, cookie=ended.cookie, csrf=ended.csrf)
    ended.post("/account/sign-out")
    key = Browser(people.base_url, headers={"Authorization": f"Bearer {mine.admin_keys['owner']}"})
    for nobody in (Browser(people.base_url), kept, key):
        reply = nobody.send(route.method, path, body_of(route))
        assert (reply.status, reply.code) == (401, "not_signed_in")


@pytest.mark.parametrize("route", MEMBER_ROUTES, ids=names)
def test_an_organization_does_not_exist_for_strangers_and_removed_members(
    people: People, two_organizations: tuple[Full, Full], route: Route
) -> None:
    mine, theirs = two_organizations
    removed = people.member(mine.owner, "owner") if route.path.endswith("/{organization}") else None
    if removed is not None:
        assert removed.post(f"{mine.owner.at()}/leave").status == 200
    for stranger in (theirs.owner, *theirs.members.values(), *([removed] if removed else [])):
        reply = stranger.send(route.method, mine.path(route), body_of(route))
        assert (reply.status, reply.code) == (404, "not_found"), reply.text


@pytest.mark.parametrize("route", MEMBER_ROUTES, ids=names)
def test_a_member_whose_role_lacks_the_right_is_refused(two_organizations: tuple[Full, Full], route: Route) -> None:
    mine, _ = two_organizations
    lacking = [role for role in ROLES if route.right not in RIGHTS[Role(role)]]
    for role in lacking:
        reply = mine.members[role].send(route.method, mine.path(route), body_of(route))
        assert (reply.status, reply.code) == (403, "permission_denied"), role


@pytest.mark.parametrize("route", OPERATOR_ROUTES, ids=names)
def test_nobody_but_an_operator_acts_on_the_installation(two_organizations: tuple[Full, Full], route: Route) -> None:
    mine, _ = two_organizations
    for person in (mine.owner, *mine.members.values()):
        reply = person.send(route.method, mine.path(route), body_of(route))
        assert (reply.status, reply.code) == (403, "permission_denied")


@pytest.mark.parametrize("route", ADMIN_ROUTES, ids=names)
def test_an_admin_key_is_needed_and_has_its_makers_rights(
    people: People, two_organizations: tuple[Full, Full], route: Route
) -> None:
    mine, _ = two_organizations
    path, body = mine.path(route), body_of(route)
    revoked = mine.owner.post(f"{mine.owner.at()}/admin_api_keys", {"name": "revoked"}).json
    mine.owner.delete(f"{mine.owner.at()}/admin_api_keys/{revoked['id']}")
    for nobody in (None, "", "sk-tess-admin-" + "0" * 36, revoked["value"], mine.owner.cookie):
        assert by_key(people.base_url, route, path, nobody, body).code == "invalid_api_key"
    assert by_key(people.base_url, route, path, mine.call_key, body).code == "permission_denied"
    cookie = send(
        people.base_url, route.method, path, body, {"Cookie": mine.owner.cookie or "", "Origin": people.base_url}
    )
    assert cookie.status == 401, "API routes ignore cookies"
    for role in ROLES:
        if route.right not in RIGHTS[Role(role)]:
            reply = by_key(people.base_url, route, path, mine.admin_keys[role], body)
            assert (reply.status, reply.code) == (403, "permission_denied"), role


@pytest.mark.parametrize("header", ["authorization", "x-api-key", "x-goog-api-key"])
def test_an_admin_key_is_the_same_in_every_header(
    people: People, two_organizations: tuple[Full, Full], header: str
) -> None:
    mine, theirs = two_organizations
    for route in ADMIN_ROUTES:
        if route.method == "GET":
            value = mine.admin_keys["viewer"]
            sent = {header: f"Bearer {value}" if header == "authorization" else value}
            allowed = route.right in RIGHTS[Role.VIEWER]
            status = send(people.base_url, "GET", mine.path(route), None, sent).status
            assert (status not in (401, 403)) if allowed else (status == 403)
            both = {**sent, "x-api-key": theirs.admin_keys["owner"]}
            if header != "x-api-key":
                assert send(people.base_url, "GET", mine.path(route), None, both).status == 401


@pytest.mark.parametrize("route", OBJECT_ROUTES, ids=names)
def test_another_organizations_object_does_not_exist(
    people: People, two_organizations: tuple[Full, Full], route: Route
) -> None:
    mine, theirs = two_organizations
    before = theirs.owner.get(f"{theirs.owner.at()}/export").text
    path, body = mine.path(route, others=theirs), body_of(route)
    if route.door is Door.MEMBER:
        reply = mine.owner.send(route.method, path, body)
    else:
        reply = by_key(people.base_url, route, path, mine.admin_keys["owner"], body)
    assert (reply.status, reply.code) == (404, "not_found"), reply.text
    assert theirs.owner.get(f"{theirs.owner.at()}/export").text == before


@pytest.mark.parametrize("route", KEY_ROUTES, ids=names)
def test_a_route_of_calls_takes_working_keys_for_calls_only(
    people: People, two_organizations: tuple[Full, Full], route: Route
) -> None:
    mine, _ = two_organizations
    key = mine.owner.post(f"{mine.owner.at()}/projects/{mine.objects['project']}/api_keys", {"mode": "test"}).json
    mine.owner.delete(f"{mine.owner.at()}/projects/{mine.objects['project']}/api_keys/{key['id']}")
    path = route.path.replace("{model:path}", "gpt-4o").replace("{id}", "req_0")
    body = {} if route.body else None
    for nobody in (None, key["value"]):
        reply = by_key(people.base_url, route, path, nobody, body)
        assert (reply.status, reply.code) == (401, "invalid_api_key")
    other = by_key(people.base_url, route, path, mine.admin_keys["owner"], body)
    assert (other.status, other.code) == (403, "permission_denied")


def test_another_organizations_calls_and_quotes_do_not_exist(
    people: People, two_organizations: tuple[Full, Full]
) -> None:
    mine, theirs = two_organizations
    chat = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hello"}]}
    mine_key, their_key = ({"Authorization": f"Bearer {one.call_key}"} for one in (mine, theirs))
    made = send(people.base_url, "POST", "/v1/chat/completions", chat, mine_key)
    quote = send(people.base_url, "POST", "/v1/quotes", {"url": "/v1/chat/completions", "body": chat}, mine_key)
    assert (made.status, quote.status) == (200, 200)
    for path in (f"/v1/requests/{made.headers['x-request-id']}", f"/v1/quotes/{quote.json['id']}"):
        assert send(people.base_url, "GET", path, None, mine_key).status == 200
        assert send(people.base_url, "GET", path, None, their_key).status == 404
