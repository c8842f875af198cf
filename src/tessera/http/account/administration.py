"""An organization's members, invitations, projects, keys, audit log: OpenAI's shapes, for admin keys and sessions."""

from typing import Any

import msgspec

from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.key_rules import KeyRules
from tessera.domain.people.records import Actor, AuditFilter
from tessera.flows.people import admin_keys, audit_log, invitations, organizations, projects
from tessera.flows.people.accounts import Accounts
from tessera.http.account import bodies
from tessera.http.account.bodies import read_fields
from tessera.http.exchange import Exchange
from tessera.http.requests import PAGE, page_of
from tessera.http.usage.query import VALUES_MAX, ReportQuery, page_asked

_FLAGS = {"true": True, "false": False}
_ORDERS = {"asc": False, "desc": True}
_BOUNDS = tuple(f"effective_at[{name}]" for name in ("gt", "gte", "lt", "lte"))
_EVENTS_ONLY = ("event_types", "actor_ids", "resource_ids")
_STRINGS = {"type": "array", "items": {"type": "string"}, "maxItems": VALUES_MAX}
_TIME = {"type": "integer", "minimum": 0, "description": "Seconds since 1970."}
USERS_ONLY: dict[str, dict[str, Any]] = {"emails": _STRINGS}
ORDER: dict[str, dict[str, Any]] = {"order": {"enum": list(_ORDERS), "default": "asc"}}
EVENTS_ONLY: dict[str, dict[str, Any]] = {
    **dict.fromkeys(_EVENTS_ONLY, _STRINGS),
    **dict.fromkeys(_BOUNDS, _TIME),
}


async def list_users(accounts: Accounts, actor: Actor, exchange: Exchange) -> None:
    """Lists members."""
    query = ReportQuery(exchange, tuple(PAGE), tuple(USERS_ONLY))
    page = page_asked(query)
    await exchange.reply_json(200, await organizations.list_members(accounts, actor, page, query.values("emails")))


async def show_user(accounts: Accounts, actor: Actor, exchange: Exchange) -> None:
    """Shows one member."""
    await exchange.reply_json(200, await organizations.show_member(accounts, actor, exchange.path_params["user"]))


async def change_user(accounts: Accounts, actor: Actor, exchange: Exchange) -> None:
    """Gives a member another role, at most one's own; only members below oneself."""
    fields = await read_fields(exchange, bodies.Role)
    changed = await organizations.change_role(accounts, actor, exchange.path_params["user"], fields.role)
    await exchange.reply_json(200, changed)


async def remove_user(accounts: Accounts, actor: Actor, exchange: Exchange) -> None:
    """Ends a membership; only of members below oneself, and never of the last owner."""
    await exchange.reply_json(200, await organizations.remove_member(accounts, actor, exchange.path_params["user"]))


async def list_invites(accounts: Accounts, actor: Actor, exchange: Exchange) -> None:
    """Lists invitations, newest first."""
    await exchange.reply_json(200, await invitations.list_invitations(accounts, actor, page_of(exchange)))


async def create_invite(accounts: Accounts, actor: Actor, exchange: Exchange) -> None:
    """Invites an address; the link in the letter works once."""
    fields = await read_fields(exchange, bodies.Invite)
    await exchange.reply_json(200, await invitations.invite(accounts, actor, fields.email, fields.role))


async def show_invite(accounts: Accounts, actor: Actor, exchange: Exchange) -> None:
    """Shows one invitation."""
    await exchange.reply_json(200, await invitations.show_invitation(accounts, actor, exchange.path_params["invite"]))


async def withdraw_invite(accounts: Accounts, actor: Actor, exchange: Exchange) -> None:
    """Takes an open invitation back."""
    await exchange.reply_json(200, await invitations.withdraw(accounts, actor, exchange.path_params["invite"]))


async def list_projects(accounts: Accounts, actor: Actor, exchange: Exchange) -> None:
    """Lists projects, oldest first."""
    archived = exchange.query(("limit", "after", "include_archived")).get("include_archived", "false")
    if archived not in _FLAGS:
        raise TesseraError(
            ErrorCode.INVALID_REQUEST, "include_archived must be true or false.", param="include_archived"
        )
    page = page_of(exchange, ("include_archived",))
    found = await projects.list_projects(accounts, actor, page, archived=_FLAGS[archived])
    await exchange.reply_json(200, found)


async def create_project(accounts: Accounts, actor: Actor, exchange: Exchange) -> None:
    """Makes a project."""
    fields = await read_fields(exchange, bodies.Name)
    await exchange.reply_json(200, await projects.create_project(accounts, actor, fields.name))


async def show_project(accounts: Accounts, actor: Actor, exchange: Exchange) -> None:
    """Shows one project."""
    await exchange.reply_json(200, await projects.show_project(accounts, actor, exchange.path_params["project"]))


async def rename_project(accounts: Accounts, actor: Actor, exchange: Exchange) -> None:
    """Changes a project's name."""
    fields = await read_fields(exchange, bodies.Name)
    renamed = await projects.rename_project(accounts, actor, exchange.path_params["project"], fields.name)
    await exchange.reply_json(200, renamed)


async def archive_project(accounts: Accounts, actor: Actor, exchange: Exchange) -> None:
    """Archives a project for good: its keys stop working."""
    await exchange.reply_json(200, await projects.archive_project(accounts, actor, exchange.path_params["project"]))


async def list_keys(accounts: Accounts, actor: Actor, exchange: Exchange) -> None:
    """Lists a project's API keys, never their secrets."""
    found = await projects.list_keys(accounts, actor, exchange.path_params["project"], page_of(exchange))
    await exchange.reply_json(200, found)


async def create_key(accounts: Accounts, actor: Actor, exchange: Exchange) -> None:
    """Makes an API key; its secret is in this reply and nowhere else."""
    fields = await read_fields(exchange, bodies.CreateKey)
    made = await projects.create_key(
        accounts,
        actor,
        exchange.path_params["project"],
        name=fields.name,
        mode=fields.mode,
        expires_at=fields.expires_at,
        rules=fields.rules,
    )
    await exchange.reply_json(200, made)


async def show_key(accounts: Accounts, actor: Actor, exchange: Exchange) -> None:
    """Shows one API key, never its secret."""
    project, key = exchange.path_params["project"], exchange.path_params["key"]
    await exchange.reply_json(200, await projects.show_key(accounts, actor, project, key))


async def change_key_rules(accounts: Accounts, actor: Actor, exchange: Exchange) -> None:
    """Replaces what an API key may be used for."""
    project, key = exchange.path_params["project"], exchange.path_params["key"]
    fields = await read_fields(exchange, bodies.Rules)
    rules = KeyRules(**msgspec.structs.asdict(fields))
    await exchange.reply_json(200, await projects.change_rules(accounts, actor, project, key, rules))


async def rotate_key(accounts: Accounts, actor: Actor, exchange: Exchange) -> None:
    """Makes a key in place of another, which works on for the overlap."""
    project, key = exchange.path_params["project"], exchange.path_params["key"]
    fields = await read_fields(exchange, bodies.RotateKey)
    made = await projects.rotate_key(accounts, actor, project, key, overlap_seconds=fields.overlap_seconds)
    await exchange.reply_json(200, made)


async def revoke_key(accounts: Accounts, actor: Actor, exchange: Exchange) -> None:
    """Revokes an API key for good."""
    project, key = exchange.path_params["project"], exchange.path_params["key"]
    await exchange.reply_json(200, await projects.revoke_key(accounts, actor, project, key))


async def list_admin_keys(accounts: Accounts, actor: Actor, exchange: Exchange) -> None:
    """Lists keys for administration, never their secrets."""
    query = ReportQuery(exchange, (*PAGE, *ORDER), ())
    newest_first = query.choice("order", _ORDERS, False)
    found = await admin_keys.list_admin_keys(accounts, actor, page_asked(query), newest_first=newest_first)
    await exchange.reply_json(200, found)


async def create_admin_key(accounts: Accounts, actor: Actor, exchange: Exchange) -> None:
    """Makes a key for administration; its secret is in this reply and nowhere else."""
    fields = await read_fields(exchange, bodies.CreateAdminKey)
    made = await admin_keys.create_admin_key(
        accounts, actor, name=fields.name, expires_in_seconds=fields.expires_in_seconds
    )
    await exchange.reply_json(200, made)


async def show_admin_key(accounts: Accounts, actor: Actor, exchange: Exchange) -> None:
    """Shows one key for administration, never its secret."""
    await exchange.reply_json(200, await admin_keys.show_admin_key(accounts, actor, exchange.path_params["key"]))


async def revoke_admin_key(accounts: Accounts, actor: Actor, exchange: Exchange) -> None:
    """Revokes a key for administration for good."""
    await exchange.reply_json(200, await admin_keys.revoke_admin_key(accounts, actor, exchange.path_params["key"]))


async def list_audit_logs(accounts: Accounts, actor: Actor, exchange: Exchange) -> None:
    """Lists what was done in the organization, newest first."""
    query = ReportQuery(exchange, (*PAGE, *_BOUNDS), tuple(_EVENTS_ONLY))
    wanted = AuditFilter(
        actions=query.values("event_types"),
        actor_ids=query.values("actor_ids"),
        object_ids=query.values("resource_ids"),
        start_at=_start_of(query.time("effective_at[gte]"), query.time("effective_at[gt]")),
        end_at=_end_of(query.time("effective_at[lt]"), query.time("effective_at[lte]")),
    )
    await exchange.reply_json(200, await audit_log.list_events(accounts, actor, page_asked(query), wanted))


def _start_of(from_at: int | None, after: int | None) -> int | None:
    """The later of a bound that is included and one that is not."""
    bounds = [bound for bound in (from_at, None if after is None else after + 1) if bound is not None]
    return max(bounds, default=None)


def _end_of(before: int | None, until: int | None) -> int | None:
    """The earlier of a bound that is not included and one that is, as one that is not."""
    bounds = [bound for bound in (before, None if until is None else until + 1) if bound is not None]
    return min(bounds, default=None)
