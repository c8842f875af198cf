"""Every field of every model × write × role (T18): what a body does not name is refused by name, and nothing moves."""

import inspect
import re
from typing import Any

import msgspec
import pytest

from people_calls import Browser, People, Reply
from people_objects import PEOPLE_ROUTES, ROLES, VALID, Full, body_of, by_key, names, nullable
from tessera import ports
from tessera.domain import auth
from tessera.domain.people import records
from tessera.http.route import Door, Route
from tessera.ports import administration

WRITES = [route for route in PEOPLE_ROUTES if isinstance(route.body, type)]
WITHOUT_QUERY = [route for route in PEOPLE_ROUTES if not route.query and route.door is not Door.SIGNED]
STRANGE: list[Any] = [None, 0, -1, 2**63, 1.5, True, "", "x" * 5_000, [], {}, [["x"]], {"$gt": ""}, "\ud800", "\x00"]


def model_fields() -> list[str]:
    """Every field of every record there is, and names that frameworks know."""
    found = {"__class__", "__proto__", "constructor", "_id", "scope", "scopes", "balance", "credit", "admin", "digest"}
    for module in (records, ports, administration, auth):
        for _, kind in inspect.getmembers(module, inspect.isclass):
            if issubclass(kind, msgspec.Struct):
                found |= set(kind.__struct_fields__)
    return sorted(found)


FIELDS = model_fields()


def write(people: People, full: Full, operator: Browser, route: Route, role: str, body: object) -> Reply:
    """A write as a member of that role, or with their admin key; as the operator, or as anybody, where the route asks
    for one or is open. Of a role below the owner's, an operator's route hears the member."""
    path = full.path(route)
    if route.door is Door.OPERATOR and role == "owner":
        return operator.send(route.method, path, body)
    if route.door is Door.ADMIN:
        return by_key(people.base_url, route, path, full.admin_keys[role], body)
    browser = Browser(people.base_url) if route.door is Door.OPEN else full.members[role]
    return browser.send(route.method, path, body)


def kept(full: Full) -> tuple[str, ...]:
    organization = full.owner.get(f"{full.owner.at()}/export").text
    person = full.members["viewer"].get("/account/session").text
    return re.sub(r'"last_used_at":\w+', "", organization), person


def test_every_write_has_a_valid_body_and_every_model_is_tried() -> None:
    assert {route.body for route in WRITES} >= set(VALID)
    for kind, body in VALID.items():
        assert set(body) == set(kind.__struct_fields__)
    assert {"is_operator", "role", "rights", "organization_id", "person_id", "suspended", "digest"} <= set(FIELDS)
    assert len(FIELDS) > 80


@pytest.mark.parametrize("route", WRITES, ids=names)
def test_a_field_that_a_write_does_not_name_is_refused_by_name(
    people: People, two_organizations: tuple[Full, Full], operator: Browser, route: Route
) -> None:
    mine, _ = two_organizations
    valid = body_of(route)
    assert valid is not None
    before = kept(mine)
    for name in FIELDS:
        if name not in valid:
            reply = write(people, mine, operator, route, "owner", {**valid, name: "owner"})
            assert (reply.status, reply.json["error"]["param"]) == (400, name), reply.text
    everything = {**valid, **{name: 1 for name in FIELDS if name not in valid}}
    for role in ROLES[1:]:
        assert write(people, mine, operator, route, role, everything).status in (400, 403)
    assert kept(mine) == before


@pytest.mark.parametrize("route", WITHOUT_QUERY, ids=names)
def test_a_query_is_refused_by_name_where_a_route_takes_none(
    people: People, two_organizations: tuple[Full, Full], operator: Browser, route: Route
) -> None:
    mine, _ = two_organizations
    asked = msgspec.structs.replace(route, path=f"{route.path}?mode=test")
    before = kept(mine)
    reply = write(people, mine, operator, asked, "owner", body_of(route))
    assert (reply.status, reply.json["error"]["param"]) == (400, "mode"), reply.text
    assert kept(mine) == before


@pytest.mark.parametrize("route", WRITES, ids=names)
def test_a_field_of_the_wrong_kind_is_the_callers_mistake(
    people: People, two_organizations: tuple[Full, Full], operator: Browser, route: Route
) -> None:
    mine, _ = two_organizations
    valid = body_of(route)
    assert valid is not None
    for name, right in valid.items():
        for value in STRANGE:
            if type(value) is type(right) or (value is None and name in nullable(route)):
                continue
            reply = write(people, mine, operator, route, "owner", {**valid, name: value})
            assert reply.status == 400, (name, value, reply.text)
    for text in (b"", b"[]", b"null", b'"x"', b"{", b"[" * 100, b'{"name": "a", "name": "b"}', b'{"name": NaN}'):
        assert write(people, mine, operator, route, "owner", text).status == 400
