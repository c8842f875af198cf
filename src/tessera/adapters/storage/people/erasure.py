"""Copies of what is kept about a person or an organization, and its erasure, which leaves every chain whole.

Money, calls and audit events stay: they name ids only. What is erased is what tells who somebody is, and what they
said: names, addresses, sessions, kept replies and quotes.
"""

from typing import Any

import msgspec

from tessera.adapters.storage.people.audit_log import record
from tessera.adapters.storage.people.organizations import LOCK, MEMBERSHIP, membership_of, take_back
from tessera.adapters.storage.people.persons import LOCK_OPERATORS, LOCK_PERSON, check_session
from tessera.adapters.storage.people.second_factors import DROP_CODES
from tessera.adapters.storage.people.steps import (
    RenameKey,
    RevokeKey,
    Rows,
    SetRules,
    Steps,
    Store,
    change_of_keys,
    first,
    read,
    rows,
)
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.people.records import INSTANCE, Act
from tessera.domain.people.roles import Role

EXPORTED_EVENTS_MAX = 10_000

_PERSON_TABLES = {
    "sessions": "SELECT id, created_at, seen_at, expires_at, address, user_agent FROM session WHERE person_id = $1",
    "api_keys_made": """
        SELECT api_key.id, api_key.organization_id, name, display, created_at, revoked_at
        FROM api_key_maker JOIN api_key ON api_key.id = api_key_id WHERE person_id = $1 ORDER BY api_key.id
    """,
    "admin_keys": """
        SELECT id, organization_id, name, display, created_at, expires_at, last_used_at, revoked_at
        FROM admin_key WHERE person_id = $1 ORDER BY id
    """,
    "identities": "SELECT id, issuer, subject, created_at FROM identity WHERE person_id = $1 ORDER BY id",
    "email_changes": "SELECT email, created_at, expires_at FROM email_change WHERE person_id = $1",
    "invitations": """
        SELECT id, organization_id, role, created_at, expires_at, accepted_at, withdrawn_at
        FROM invitation WHERE email = (SELECT email FROM person WHERE id = $1) ORDER BY id
    """,
    "waiting_letters": """
        SELECT id, tries, next_at FROM delivery
        WHERE kind = 'letter' AND target = (SELECT email FROM person WHERE id = $1) ORDER BY id
    """,
}
_PERSON_EVENTS = """
SELECT id, scope, action, object_id, details, created_at, actor_id FROM audit_event
WHERE object_id = $1 OR actor_id = $1 OR actor_id IN (SELECT id FROM admin_key WHERE person_id = $1)
ORDER BY id DESC LIMIT $2
"""
_ORGANIZATION_TABLES = {
    "projects": "SELECT id, name, created_at, archived_at FROM project WHERE organization_id = $1 ORDER BY id",
    "api_keys": """
        SELECT id, project_id, name, mode, display, created_at, revoked_at, rules
        FROM api_key WHERE organization_id = $1 ORDER BY id
    """,
    "admin_keys": """
        SELECT id, person_id, name, display, created_at, expires_at, last_used_at, revoked_at
        FROM admin_key WHERE organization_id = $1 ORDER BY id
    """,
    "invitations": """
        SELECT id, email, role, created_at, expires_at, accepted_at, withdrawn_at
        FROM invitation WHERE organization_id = $1 ORDER BY id
    """,
    "alerts": """
        SELECT id, mode, kind, subject_kind, subject_id, period, percent, amount_nanos, created_at
        FROM alert WHERE organization_id = $1 ORDER BY id
    """,
    "webhooks": "SELECT id, url, created_at FROM webhook WHERE organization_id = $1 ORDER BY id",
}
_MEMBERS = MEMBERSHIP + " WHERE membership.organization_id = $1 ORDER BY membership.person_id"
_SCOPE_EVENTS = """
SELECT id, actor_kind, actor_id, action, object_id, details, created_at FROM audit_event WHERE scope = $1
ORDER BY seq DESC LIMIT $2
"""

_SOLE_OWNER = """
SELECT organization_id FROM membership AS mine WHERE person_id = $1 AND role = 'owner'
    AND NOT EXISTS (SELECT 1 FROM membership AS other WHERE other.organization_id = mine.organization_id
        AND other.person_id <> mine.person_id AND other.role = 'owner')
    AND EXISTS (SELECT 1 FROM membership AS other WHERE other.organization_id = mine.organization_id
        AND other.person_id <> mine.person_id)
"""
_MEMBERSHIPS = MEMBERSHIP + " WHERE membership.person_id = $1 ORDER BY membership.organization_id"
_LAST_OPERATOR = """
SELECT id FROM person WHERE id = $1 AND is_operator = 1
    AND NOT EXISTS (SELECT 1 FROM person AS other WHERE other.id <> person.id AND other.is_operator = 1
        AND other.erased_at IS NULL)
"""
_ERASE_PERSON = """
UPDATE person SET email = NULL, name = '', password_hash = NULL, is_operator = 0, totp_nonce = NULL,
    totp_confirmed = 0, totp_step = 0, erased_at = $2
WHERE id = $1 AND erased_at IS NULL RETURNING id
"""
_FORGET_PERSON = (
    "DELETE FROM session WHERE person_id = $1",
    DROP_CODES,
    "DELETE FROM email_change WHERE person_id = $1",
    "DELETE FROM identity WHERE person_id = $1",
    "UPDATE provider_sign_in SET person_id = NULL, issuer = NULL, subject = NULL WHERE person_id = $1",
    "DELETE FROM membership WHERE person_id = $1",
)
_FORGET_ADDRESS = (
    "DELETE FROM link WHERE email = $1",
    "DELETE FROM email_change WHERE email = $1",
    "DELETE FROM delivery WHERE kind = 'letter' AND target = $1",
    "UPDATE invitation SET email = '' WHERE email = $1 AND (accepted_at IS NOT NULL OR withdrawn_at IS NOT NULL)",
    "DELETE FROM invitation WHERE email = $1",
)
_REVOKE_ADMIN_KEYS = "UPDATE admin_key SET revoked_at = $2, name = '' WHERE person_id = $1 AND revoked_at IS NULL"
_BLANK_ADMIN_KEYS = "UPDATE admin_key SET name = '' WHERE person_id = $1"
_ERASE_DETAILS = """
UPDATE audit_event SET details = NULL WHERE details IS NOT NULL
    AND (object_id = $1 OR actor_id = $1 OR actor_id IN (SELECT id FROM admin_key WHERE person_id = $1))
"""

_KEYS = "SELECT id, revoked_at FROM api_key WHERE organization_id = $1 ORDER BY id"
# What moves its money on another replica has moved it by now, and is seen, or finds it closed.
_LOCK_WALLETS = "UPDATE wallet SET chain_seq = chain_seq WHERE organization_id = $1 RETURNING id"
_MONEY_LEFT = """
SELECT sum(available_nanos), sum(held_nanos) FROM wallet WHERE organization_id = $1 AND mode = 'live'
"""
_OPEN_HOLDS = """
SELECT hold.number FROM hold JOIN wallet ON wallet.id = hold.wallet_id
WHERE wallet.organization_id = $1 AND hold.state = 'open' LIMIT 1
"""
_OWED = """
SELECT owed.id FROM owed_refund AS owed JOIN wallet ON wallet.id = owed.wallet_id
WHERE wallet.organization_id = $1 AND left_nanos > 0 LIMIT 1
"""
_FORGET_ORGANIZATION = (
    "DELETE FROM membership WHERE organization_id = $1",
    "DELETE FROM invitation WHERE organization_id = $1",
    "DELETE FROM quote WHERE organization_id = $1",
    "DELETE FROM alert WHERE organization_id = $1",
    "DELETE FROM webhook WHERE organization_id = $1",
    "DELETE FROM delivery WHERE notice_id IN (SELECT id FROM notice WHERE organization_id = $1)",
    "DELETE FROM notice WHERE organization_id = $1",
    "DELETE FROM automatic_topup WHERE organization_id = $1",
    "DELETE FROM idempotency WHERE wallet_id IN (SELECT id FROM wallet WHERE organization_id = $1)",
    "UPDATE audit_event SET details = NULL WHERE details IS NOT NULL AND scope = $1",
)
# What a payment service told of its payments: names, addresses, cards. What came of it stays.
_FORGET_EVENTS = (
    "UPDATE payment_event SET body = $2 WHERE topup_id IN (SELECT id FROM topup WHERE organization_id = $1)",
    "UPDATE payment_event SET body = $2 WHERE payment_id IN (SELECT payment_id FROM topup WHERE organization_id = $1)",
)
_CLOSE_ORGANIZATION = "UPDATE organization SET name = $2, closed_at = $3 WHERE id = $1"
_CLOSE_PROJECTS = "UPDATE project SET name = id, archived_at = $2 WHERE organization_id = $1"
_CLOSE_ADMIN_KEYS = "UPDATE admin_key SET revoked_at = $2, name = '' WHERE organization_id = $1"


class Erasure(Store):
    """Exports and erasures."""

    @read
    def export_person(self, person_id: str) -> Steps[dict[str, Any]]:
        """What is kept about a person beside their own record."""
        found: dict[str, Any] = {}
        members = yield from rows(_MEMBERSHIPS, person_id)
        found["memberships"] = [_public(membership_of(row)) for row in members]
        for name, sql in _PERSON_TABLES.items():
            found[name] = _named(sql, (yield from rows(sql, person_id)))
        events = yield from rows(_PERSON_EVENTS, person_id, EXPORTED_EVENTS_MAX)
        own = {person_id, *(key["id"] for key in found["admin_keys"])}
        found["audit_events"] = [_event_for(own, event) for event in _named(_PERSON_EVENTS, events)]
        return found

    @read
    def export_organization(self, organization_id: str) -> Steps[dict[str, Any]]:
        """What is kept about an organization beside its calls and its money, which have pages of their own."""
        found: dict[str, Any] = {}
        members = yield from rows(_MEMBERS, organization_id)
        found["members"] = [_public(membership_of(row)) for row in members]
        for name, sql in _ORGANIZATION_TABLES.items():
            found[name] = _named(sql, (yield from rows(sql, organization_id)))
        events = yield from rows(_SCOPE_EVENTS, organization_id, EXPORTED_EVENTS_MAX)
        found["audit_events"] = _named(_SCOPE_EVENTS, events)
        return found

    @change_of_keys
    def erase_person(self, act: Act) -> Steps[None]:
        """Erases who a person is. Organizations nobody else belongs to are closed with them.

        Raises [invalid_request] for the last owner of an organization others belong to, and for the last operator,
        [not_signed_in].
        """
        person_id, now = act.object_id, self.now()
        members = [membership_of(row) for row in (yield from rows(_MEMBERSHIPS, person_id))]
        for member in members:
            yield from rows(LOCK, member.organization_id)
        yield from rows(LOCK_OPERATORS)
        email = yield from first(LOCK_PERSON, person_id)
        yield from check_session(act.actor)
        if (yield from first(_SOLE_OWNER, person_id)) is not None:
            raise TesseraError(
                ErrorCode.INVALID_REQUEST,
                "An organization with other members has no other owner. Make one of them an owner first.",
            )
        if (yield from first(_LAST_OPERATOR, person_id)) is not None:
            raise TesseraError(ErrorCode.INVALID_REQUEST, "This is the last operator. Make another one first.")
        for member in members:
            others = yield from rows(_MEMBERS, member.organization_id)
            if member.role is Role.OWNER and len(others) == 1:
                yield from _close(self, act, member.organization_id)
            yield from take_back(self, act.actor, member.organization_id, person_id)
        if (yield from first(_ERASE_PERSON, person_id, now)) is None:
            raise TesseraError(ErrorCode.NOT_FOUND, "There is no such person.")
        for sql in _FORGET_PERSON:
            yield from rows(sql, person_id)
        if email is not None:
            for sql in _FORGET_ADDRESS:
                yield from rows(sql, email[0])
        yield from rows(_REVOKE_ADMIN_KEYS, person_id, now)
        yield from rows(_BLANK_ADMIN_KEYS, person_id)
        yield from record(self, Act(actor=act.actor, action=act.action, object_id=person_id, scope=INSTANCE))
        yield from rows(_ERASE_DETAILS, person_id)

    @change_of_keys
    def erase_organization(self, act: Act) -> Steps[None]:
        """Closes an organization and erases what it was called, who belonged to it and what it asked.

        Raises [invalid_request] while it has live money, which must be refunded first, calls in flight, or a refund
        that waits for some, [not_signed_in].
        """
        yield from rows(LOCK, act.object_id)
        yield from rows(LOCK_PERSON, act.actor.person_id)
        yield from check_session(act.actor)
        yield from _close(self, act, act.object_id)


def _close(store: Store, act: Act, organization_id: str) -> Steps[None]:
    now = store.now()
    yield from rows(LOCK, organization_id)
    yield from rows(_LOCK_WALLETS, organization_id)
    money = yield from first(_MONEY_LEFT, organization_id)
    if money is not None and any(int(part or 0) for part in money):
        raise TesseraError(
            ErrorCode.INVALID_REQUEST,
            "The organization still has live money. Spend it or ask the operator for a refund before it is deleted.",
        )
    if (yield from first(_OPEN_HOLDS, organization_id)) is not None:
        raise TesseraError(ErrorCode.INVALID_REQUEST, "Calls are in flight; try again when they have ended.")
    if (yield from first(_OWED, organization_id)) is not None:
        raise TesseraError(
            ErrorCode.INVALID_REQUEST,
            "A refund waits for calls that held its payment's credit; try again in a minute.",
        )
    # Projects first: who makes a key in one at the same time has made it by now, or finds the project archived.
    yield from rows(_CLOSE_PROJECTS, organization_id, now)
    for key_id, revoked_at in (yield from rows(_KEYS, organization_id)):
        if revoked_at is None or revoked_at > now:
            yield RevokeKey(key_id, now)
        yield RenameKey(key_id, "")
        yield SetRules(key_id, None)
    yield from rows(_CLOSE_ADMIN_KEYS, organization_id, now)
    # Its id: names are unique, and nobody can have taken this one before to keep the organization from being deleted.
    yield from rows(_CLOSE_ORGANIZATION, organization_id, organization_id, now)
    act = Act(actor=act.actor, action="organization.deleted", object_id=organization_id, scope=organization_id)
    yield from record(store, act)
    for sql in _FORGET_ORGANIZATION:
        yield from rows(sql, organization_id)
    for sql in _FORGET_EVENTS:
        yield from rows(sql, organization_id, b"")


def _named(sql: str, found: Rows) -> list[dict[str, Any]]:
    """Rows under the names that their statement selects."""
    names = [part.strip().rpartition(".")[2] for part in sql.partition("SELECT")[2].partition("FROM")[0].split(",")]
    return [dict(zip(names, row, strict=True)) for row in found]


def _event_for(own: set[str], event: dict[str, Any]) -> dict[str, Any]:
    """An event as a person's copy has it: where somebody else acted from is that person's own."""
    if event.pop("actor_id") not in own and event["details"] is not None:
        details = {name: value for name, value in msgspec.json.decode(event["details"]).items() if name != "address"}
        event["details"] = msgspec.json.encode(details).decode()
    return event


def _public(member: Any) -> dict[str, Any]:
    return {name: getattr(member, name) for name in member.__struct_fields__}
