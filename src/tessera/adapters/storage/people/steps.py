"""How a change of people is written once for every database: as a generator of steps that each engine runs its own way.

A generator yields `Sql` (plain SQL with $1, $2, … and the rows come back) or one of the acts that each ledger does by
itself, because they touch its books. All steps of one generator are one commit, or none of them is.
"""

from collections.abc import Callable, Coroutine, Generator, Sequence
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

import msgspec

from tessera.domain.key_rules import KeyRules
from tessera.domain.ledger.limits import Limits, SubjectKind
from tessera.domain.ledger.losses import SuspensionReason
from tessera.domain.money import Mode
from tessera.ports.administration import ApiKey

Value = str | int | bytes | None
Rows = list[tuple[Any, ...]]


class Sql(msgspec.Struct, frozen=True):
    """A statement and its values; answered with its rows."""

    text: str
    values: tuple[Value, ...] = ()


class NewOrganization(msgspec.Struct, frozen=True):
    """An organization with its default project, wallets and test credit; answered with `Organization`."""

    name: str


class NewKey(msgspec.Struct, frozen=True):
    """An API key of an existing project; answered with `ApiKey`."""

    key: ApiKey
    digest: bytes


class RevokeKey(msgspec.Struct, frozen=True):
    """Ends an API key at a time in seconds since 1970; answered with `ApiKey`."""

    key_id: str
    at: int


class RenameKey(msgspec.Struct, frozen=True):
    """Gives an API key another name; answered with `ApiKey`."""

    key_id: str
    name: str


class SetRules(msgspec.Struct, frozen=True):
    """Replaces what an API key may be used for; answered with `ApiKey`."""

    key_id: str
    rules: KeyRules | None


class SetLimits(msgspec.Struct, frozen=True):
    """Replaces the limits of a key, a project or an organization in one mode; answered with `Meter`."""

    organization_id: str
    mode: Mode
    kind: SubjectKind
    subject_id: str
    limits: Limits


class SetSuspension(msgspec.Struct, frozen=True):
    """Suspends an organization, or lifts its suspension with None; answered with `Organization`."""

    organization_id: str
    reason: SuspensionReason | None


class AddCredit(msgspec.Struct, frozen=True):
    """A new lot of credit; answered with `Lot`."""

    organization_id: str
    mode: Mode
    amount_nanos: int
    kind: str
    note: str
    expires_at: int | None


class ReadMeter(msgspec.Struct, frozen=True):
    """What a key, a project or an organization has used in one mode; answered with `Meter`."""

    organization_id: str
    mode: Mode
    kind: SubjectKind
    subject_id: str


Step = (
    Sql
    | NewOrganization
    | NewKey
    | RevokeKey
    | RenameKey
    | SetRules
    | SetLimits
    | SetSuspension
    | AddCredit
    | ReadMeter
)

P = ParamSpec("P")
T = TypeVar("T")
S = TypeVar("S", bound="Store")

Steps = Generator[Step, Any, T]


class Database(Protocol):
    """Runs steps. Raises [storage_unavailable] and what the generator raises, and then nothing was changed."""

    async def change(self, steps: Callable[[], Steps[T]], *, of_keys: bool) -> T:
        """In one commit of its own; `of_keys` makes every replica forget the callers it remembers."""
        ...

    async def read(self, steps: Callable[[], Steps[T]]) -> T:
        """On one snapshot."""
        ...


class Recorder:
    """What the audit log is written with: a clock, ids, the key that signs it."""

    def __init__(self, now: Callable[[], int], make_id: Callable[[str], str], signing_key: bytes) -> None:
        self.now = now
        self.make_id = make_id
        self.signing_key = signing_key


class Store(Recorder):
    """What every part of the storage of people has: the database, and what the audit log is written with."""

    def __init__(
        self, database: Database, now: Callable[[], int], make_id: Callable[[str], str], signing_key: bytes
    ) -> None:
        super().__init__(now, make_id, signing_key)
        self.database = database


def change(
    work: Callable[Concatenate[S, P], Steps[T]],
) -> Callable[Concatenate[S, P], Coroutine[Any, Any, T]]:
    """Makes a generator of steps an asynchronous method that runs them in one commit."""

    async def run(store: S, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await store.database.change(lambda: work(store, *args, **kwargs), of_keys=False)

    run.__doc__ = work.__doc__
    return run


def change_of_keys(
    work: Callable[Concatenate[S, P], Steps[T]],
) -> Callable[Concatenate[S, P], Coroutine[Any, Any, T]]:
    """As `change`, and remembered callers are forgotten."""

    async def run(store: S, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await store.database.change(lambda: work(store, *args, **kwargs), of_keys=True)

    run.__doc__ = work.__doc__
    return run


def read(
    work: Callable[Concatenate[S, P], Steps[T]],
) -> Callable[Concatenate[S, P], Coroutine[Any, Any, T]]:
    """Makes a generator of steps an asynchronous method that reads one snapshot."""

    async def run(store: S, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await store.database.read(lambda: work(store, *args, **kwargs))

    run.__doc__ = work.__doc__
    return run


def play(steps: Steps[T], do: Callable[[Step], Any]) -> T:
    """Runs a generator to its end, doing each of its steps; what it returns."""
    answer: Any = None
    try:
        while True:
            answer = do(steps.send(answer))
    except StopIteration as stop:
        result: T = stop.value
        return result


def run_sql(connection: Any, step: Step) -> Rows:
    """Runs one statement on a connection; any other step is a mistake of who wrote the generator."""
    assert isinstance(step, Sql)
    values = {str(index): value for index, value in enumerate(step.values, 1)}
    found: Rows = connection.execute(step.text, values).fetchall()
    return found


def rows(text: str, *values: Value) -> Steps[Rows]:
    """The rows of a statement."""
    found: Rows = yield Sql(text, values)
    return found


def first(text: str, *values: Value) -> Steps[tuple[Any, ...] | None]:
    """The first row of a statement, if there is one."""
    found = yield from rows(text, *values)
    return found[0] if found else None


def among(column: str, values: Sequence[Value], number: int) -> str:
    """A condition that a column has one of these values, whose places begin at this number; nothing without values."""
    if not values:
        return ""
    places = ", ".join(f"${place}" for place in range(number, number + len(values)))
    return f" AND {column} IN ({places})"
