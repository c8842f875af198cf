"""Two organizations with one of every object, and every kind of caller: what the generated tests of rights work on."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_args, get_type_hints

import msgspec
import pytest

from people_calls import PASSWORD, Browser, People, Reply, send
from tessera.http.account import bodies
from tessera.http.route import Door, Route
from tessera.http.routes import ROUTES

ROLES = ("owner", "admin", "developer", "billing", "viewer")
PEOPLE_ROUTES = [route for route in ROUTES if route.door is not Door.KEY]
ORGANIZATION_ROUTES = [route for route in ROUTES if route.door in (Door.MEMBER, Door.ADMIN)]
ELSEWHERE = {"month": "2026-11"}
"""Parts of paths that name no object of these organizations; any other is one that nobody has."""

_PARAMETER = re.compile(r"\{(\w+)(?::\w+)?\}")

LIMITS: dict[str, Any] = {
    "budget_total": "90.00",
    "budget_month": "50.00",
    "budget_day": "10.00",
    "requests_per_minute": 1_000,
    "tokens_per_minute": 1_000_000,
    "concurrent_max": 100,
}
VALID: dict[type[msgspec.Struct], dict[str, Any]] = {
    bodies.SignUp: {"email": "new@example.com", "name": "New", "password": PASSWORD},
    bodies.ConfirmSignUp: {"token": "0" * 64, "password": PASSWORD},
    bodies.SignUpInvited: {"token": "0" * 64, "name": "New", "password": PASSWORD},
    bodies.BecomeOperator: {"token": "0" * 64, "email": "new@example.com", "name": "New", "password": PASSWORD},
    bodies.SignIn: {"email": "nobody@example.com", "password": PASSWORD, "code": "000000"},
    bodies.ForgetPassword: {"email": "nobody@example.com"},
    bodies.ResetPassword: {"token": "0" * 64, "password": PASSWORD, "code": "000000"},
    bodies.ChangePassword: {"password": "not this one", "new_password": PASSWORD},
    bodies.ChangeEmail: {"email": "new@example.com", "password": "not this one", "code": "000000"},
    bodies.Password: {"password": "not this one"},
    bodies.Code: {"code": "000000"},
    bodies.Name: {"name": "another name"},
    bodies.TokenOnly: {"token": "0" * 64},
    bodies.Role: {"role": "viewer"},
    bodies.Invite: {"email": "invited@example.com", "role": "viewer"},
    bodies.CreateKey: {"name": "key", "mode": "test", "expires_at": 2_000_000_000, "rules": {"models": ["gpt-4o"]}},
    bodies.Rules: {
        "endpoints": ["/v1/responses"],
        "models": ["gpt-4o"],
        "ip_ranges": ["192.0.2.0/24"],
        "output_tokens_max": 500,
    },
    bodies.KeyLimits: LIMITS,
    bodies.SharedLimits: {**LIMITS, "mode": "test"},
    bodies.CreateAlert: {
        "kind": "spend",
        "mode": "test",
        "key": None,
        "project": None,
        "period": "day",
        "percent": None,
        "amount": "5.00",
    },
    bodies.CreateWebhook: {"url": "https://example.com/hook"},
    bodies.RotateKey: {"overlap_seconds": 60},
    bodies.CreateAdminKey: {"name": "key", "expires_in_seconds": 60},
}
"""A body for every write of people, with every field it takes."""

EXAMPLES: dict[str, Any] = {
    "amount": "5.00",
    "base_url": "https://api.example.com/v1",
    "code": "NO-SUCH-CODE",
    "credential": "sk-of-a-provider-0123456789",
    "currency": "usd",
    "enabled": False,
    "expires_at": 2_000_000_000,
    "kind": "manual",
    "mode": "live",
    "month_max": "10.00",
    "name": "name",
    "note": "a note",
    "reason": "a reason",
    "save_card": False,
    "surfaces": ["chat"],
    "threshold": "1.00",
}
"""Values for the fields of every other write. A field that is missing here fails the tests: give it a value."""


@dataclass
class Full:
    """An organization: its owner, a member of every role, one of every object, and an admin key of every role."""

    owner: Browser
    members: Mapping[str, Browser]
    objects: Mapping[str, str]
    admin_keys: Mapping[str, str]
    call_key: str

    def path(self, route: Route, others: "Full | None" = None) -> str:
        """The route's path with this organization's objects, or within it the objects of another."""
        objects = {**(others or self).objects, "organization": self.owner.organization}
        if "/admin_api_keys/" in route.path:
            objects["key"] = objects["admin_key"]
        return _PARAMETER.sub(lambda one: objects.get(one[1]) or ELSEWHERE.get(one[1], f"{one[1]}_nobodys"), route.path)


def body_of(route: Route) -> dict[str, Any] | None:
    """A valid body for a route."""
    if not isinstance(route.body, type):
        return None
    return VALID.get(route.body) or {name: EXAMPLES[name] for name in route.body.__struct_fields__}


def by_key(base_url: str, route: Route, path: str, key: str | None, body: object = None) -> Reply:
    """A request with a key, or none."""
    return send(base_url, route.method, path, body, {} if key is None else {"Authorization": f"Bearer {key}"})


def nullable(route: Route) -> set[str]:
    """The fields of a write that may be null."""
    assert isinstance(route.body, type)
    hints = get_type_hints(route.body)
    return {name for name, hint in hints.items() if type(None) in get_args(hint)}


def names(route: Route) -> str:
    return f"{route.method} {route.path}"


def _full(people: People, name: str) -> Full:
    owner = people.newcomer(name)
    members = {role: people.member(owner, role) for role in ROLES}
    project = owner.post(f"{owner.at()}/projects", {"name": "own"}).json["id"]
    key = owner.post(f"{owner.at()}/projects/{project}/api_keys", {"name": "own", "mode": "test"}).json
    invite = owner.post(f"{owner.at()}/invites", {"email": people.new_email(), "role": "viewer"}).json
    admin_key = owner.post(f"{owner.at()}/admin_api_keys", {"name": "own"}).json
    keys = {"owner": admin_key["value"]}
    for role in ROLES[1:]:
        maker = people.member(owner, "admin")
        keys[role] = maker.admin_key()
        assert owner.post(f"{owner.at()}/users/{maker.person_id}", {"role": role}).status == 200
    objects = {
        "user": members["viewer"].person_id,
        "invite": invite["id"],
        "project": project,
        "key": key["id"],
        "admin_key": admin_key["id"],
        "session": owner.get("/account/sessions").json["data"][0]["id"],
    }
    return Full(owner, members, objects, keys, key["value"])


@pytest.fixture(scope="module")
def operator(people: People) -> Browser:
    """Somebody who operates the installation and belongs to neither organization."""
    made = people.newcomer("Olga")
    people.server.tessera("members", "operator", made.email)
    return made


@pytest.fixture(scope="module")
def two_organizations(people: People) -> tuple[Full, Full]:
    return _full(people, "Ada"), _full(people, "Eve")
