"""What a route is: a method on a path, who may enter, and how the API's own description shows it."""

from collections.abc import Awaitable, Callable, Mapping
from enum import StrEnum
from typing import Any

import msgspec

from tessera.domain.people.roles import Right
from tessera.domain.request import Surface

Handler = Callable[[Any, Any, Any], Awaitable[None]]
"""Takes the world, who calls, the exchange: `World` and `Caller` behind the door KEY, else `Accounts` and `Actor`."""


class Door(StrEnum):
    """How who calls is known. API routes ignore cookies, and routes for browsers ignore keys (security-tests 7)."""

    KEY = "key"
    """An API key."""

    ADMIN = "admin"
    """A key for administration: acts in its organization."""

    PERSON = "person"
    """A session: acts on the person's own account."""

    MEMBER = "member"
    """A session, in the organization that the path names."""

    OPERATOR = "operator"
    """A session of an operator: acts on the whole installation."""

    OPEN = "open"
    """Anybody: signing up and in."""

    SIGNED = "signed"
    """A payment service, known by the signature of what it sends."""


class Route(msgspec.Struct, frozen=True):
    """One method on one path. Rights hang here, never on the path's text.

    `body` and `reply` name schemas of the API's description (a struct describes itself), `surface` is the dialect of
    its errors, `query` its query parameters: behind every door but KEY and SIGNED, a route that names none refuses any.
    A `paid` route takes the headers that say what a call may cost, and can stream. `right` is what a member or admin
    key must have. `money` routes work on a `Treasury`, whoever enters; `files` are the kinds of file a route can answer
    with beside JSON, `headers` what it takes beside the usual. A route that `redirects` sends a browser on, and has no
    reply of its own.
    """

    method: str
    path: str
    handler: Handler
    reply: str
    body: str | type[msgspec.Struct] | None = None
    surface: Surface = Surface.CHAT
    paid: bool = False
    query: Mapping[str, Mapping[str, Any]] = msgspec.field(default_factory=dict)
    door: Door = Door.KEY
    right: Right | None = None
    money: bool = False
    files: tuple[str, ...] = ()
    headers: Mapping[str, str] = msgspec.field(default_factory=dict)
    redirects: bool = False

    @property
    def summary(self) -> str:
        """The first line of what the handler says of itself."""
        return (self.handler.__doc__ or "").strip().splitlines()[0]
