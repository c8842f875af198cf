"""/account/operator/customers and /account/operator/credits: organizations, and credit given by hand."""

from typing import Annotated, Any

import msgspec

from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.people.records import Actor
from tessera.flows.operator import customers
from tessera.flows.people.accounts import Accounts
from tessera.http.account.bodies import Fields, Seconds, read_fields
from tessera.http.exchange import Exchange
from tessera.http.requests import PAGE, page_of
from tessera.ports.customers import CreditState, CustomersAsked

_FLAGS = {"true": True, "false": False}
_SEARCH_LENGTH_MAX = 100

QUERY: dict[str, dict[str, Any]] = {
    **PAGE,
    "search": {
        "type": "string",
        "minLength": 1,
        "maxLength": _SEARCH_LENGTH_MAX,
        "description": "An id, or part of a name or of a member's address.",
    },
    "suspended": {"enum": list(_FLAGS), "description": "Only those that are suspended, or are not."},
}
CREDITS_QUERY: dict[str, dict[str, Any]] = {**PAGE, "status": {"enum": [state.value for state in CreditState]}}
HEADERS = {"Idempotency-Key": "1 to 255 printable characters: a repeat with the same key and body gives once."}


class Suspend(Fields, frozen=True, kw_only=True):
    """Why; it stands in the organization's audit log, which its members can read."""

    reason: Annotated[str, msgspec.Meta(max_length=1_000)]


class GiveCredit(Fields, frozen=True, kw_only=True):
    """How much, in US dollars with up to nine decimals, and why. A `promotion` is spent first where it expires first;
    `expires_at` is when what is left of it is lost, in seconds since 1970."""

    amount: Annotated[str, msgspec.Meta(min_length=1, max_length=32)]
    note: Annotated[str, msgspec.Meta(max_length=1_000)]
    mode: Annotated[str, msgspec.Meta(max_length=16)] = "live"
    kind: Annotated[str, msgspec.Meta(max_length=16)] = "manual"
    expires_at: Seconds | None = None


async def index(accounts: Accounts, _: Actor, exchange: Exchange) -> None:
    """Lists organizations with their owners and balances, newest first."""
    page = page_of(exchange, ("search", "suspended"))
    query = exchange.query(tuple(QUERY))
    search = query.get("search")
    if search is not None and not (1 <= len(search) <= _SEARCH_LENGTH_MAX and search.isprintable()):
        raise _refused(f"search has 1 to {_SEARCH_LENGTH_MAX} printable characters.", "search")
    suspended = query.get("suspended")
    if suspended is not None and suspended not in _FLAGS:
        raise _refused("suspended must be true or false.", "suspended")
    asked = CustomersAsked(search=search, suspended=None if suspended is None else _FLAGS[suspended])
    await exchange.reply_json(200, await customers.list_customers(accounts.clientele, asked, page))


async def show(accounts: Accounts, _: Actor, exchange: Exchange) -> None:
    """Shows one organization with its owner and balance."""
    await exchange.reply_json(200, await customers.show_customer(accounts.clientele, exchange.path_params["customer"]))


async def suspend(accounts: Accounts, actor: Actor, exchange: Exchange) -> None:
    """Refuses an organization's new calls; running ones finish."""
    fields = await read_fields(exchange, Suspend)
    found = await customers.suspend(accounts.clientele, actor, exchange.path_params["customer"], fields.reason)
    await exchange.reply_json(200, found)


async def resume(accounts: Accounts, actor: Actor, exchange: Exchange) -> None:
    """Lifts an organization's suspension, whatever its reason was."""
    await exchange.reply_json(200, await customers.resume(accounts.clientele, actor, exchange.path_params["customer"]))


async def give_credit(accounts: Accounts, actor: Actor, exchange: Exchange) -> None:
    """Gives credit by hand; beyond what one operator may give alone, once another one approves it."""
    fields = await read_fields(exchange, GiveCredit)
    given, repeated = await customers.give_credit(
        accounts.clientele,
        actor,
        exchange.path_params["customer"],
        amount=fields.amount,
        mode=fields.mode,
        kind=fields.kind,
        note=fields.note,
        expires_at=fields.expires_at,
        key=exchange.header(b"idempotency-key"),
    )
    if repeated:
        exchange.add_header(b"idempotent-replayed", "true")
    await exchange.reply_json(200, given)


async def credits_index(accounts: Accounts, _: Actor, exchange: Exchange) -> None:
    """Lists credit that operators gave by hand or ask another one to give, newest first."""
    page = page_of(exchange, ("status",))
    status = exchange.query(tuple(CREDITS_QUERY)).get("status")
    if status is not None and status not in set(CreditState):
        raise _refused(f"status must be one of {', '.join(CreditState)}.", "status")
    state = None if status is None else CreditState(status)
    await exchange.reply_json(200, await customers.list_credits(accounts.clientele, state, page))


async def approve(accounts: Accounts, actor: Actor, exchange: Exchange) -> None:
    """Gives a credit that another operator asked for."""
    await exchange.reply_json(
        200, await customers.approve_credit(accounts.clientele, actor, exchange.path_params["credit"])
    )


async def withdraw(accounts: Accounts, actor: Actor, exchange: Exchange) -> None:
    """Takes back a credit that waits for approval."""
    credit = exchange.path_params["credit"]
    await exchange.reply_json(200, await customers.withdraw_credit(accounts.clientele, actor, credit))


def _refused(text: str, param: str) -> TesseraError:
    return TesseraError(ErrorCode.INVALID_REQUEST, text, param=param)
