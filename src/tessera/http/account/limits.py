"""What keys, projects and organizations may use and have used: read and set by members and admin keys."""

from tessera.domain.ledger.limits import SubjectKind
from tessera.domain.people.records import Actor
from tessera.flows.people import limits
from tessera.flows.people.accounts import Accounts
from tessera.http.account import bodies
from tessera.http.account.bodies import read_fields
from tessera.http.exchange import Exchange

MODE = {"mode": {"enum": ["live", "test"], "default": "live"}}
"""The query of what is counted in each mode, as the API's description shows it."""


async def show_key(accounts: Accounts, actor: Actor, exchange: Exchange) -> None:
    """Shows what a key may use and has used."""
    await exchange.reply_json(200, await limits.show_limits(accounts, actor, _key(exchange), None))


async def set_key(accounts: Accounts, actor: Actor, exchange: Exchange) -> None:
    """Replaces the limits of a key."""
    fields = await read_fields(exchange, bodies.KeyLimits)
    await exchange.reply_json(200, await _set(accounts, actor, _key(exchange), None, fields))


async def show_project(accounts: Accounts, actor: Actor, exchange: Exchange) -> None:
    """Shows what a project may use and has used in one mode."""
    mode = exchange.query(MODE).get("mode", "live")
    await exchange.reply_json(200, await limits.show_limits(accounts, actor, _project(exchange), mode))


async def set_project(accounts: Accounts, actor: Actor, exchange: Exchange) -> None:
    """Replaces the limits of a project in one mode."""
    fields = await read_fields(exchange, bodies.SharedLimits)
    await exchange.reply_json(200, await _set(accounts, actor, _project(exchange), fields.mode, fields))


async def show_organization(accounts: Accounts, actor: Actor, exchange: Exchange) -> None:
    """Shows what the organization may use and has used in one mode."""
    mode = exchange.query(MODE).get("mode", "live")
    await exchange.reply_json(200, await limits.show_limits(accounts, actor, _organization(actor), mode))


async def set_organization(accounts: Accounts, actor: Actor, exchange: Exchange) -> None:
    """Replaces the limits of the organization in one mode."""
    fields = await read_fields(exchange, bodies.SharedLimits)
    await exchange.reply_json(200, await _set(accounts, actor, _organization(actor), fields.mode, fields))


async def _set(
    accounts: Accounts, actor: Actor, subject: limits.Subject, mode: str | None, fields: bodies.KeyLimits
) -> object:
    made = limits.read_limits(
        {"total": fields.budget_total, "month": fields.budget_month, "day": fields.budget_day},
        requests_per_minute=fields.requests_per_minute,
        tokens_per_minute=fields.tokens_per_minute,
        concurrent_max=fields.concurrent_max,
    )
    return await limits.set_limits(accounts, actor, subject, mode, made)


def _key(exchange: Exchange) -> limits.Subject:
    params = exchange.path_params
    return limits.Subject(SubjectKind.KEY, params["key"], params["project"])


def _project(exchange: Exchange) -> limits.Subject:
    return limits.Subject(SubjectKind.PROJECT, exchange.path_params["project"])


def _organization(actor: Actor) -> limits.Subject:
    return limits.Subject(SubjectKind.ORGANIZATION, actor.organization_id)
