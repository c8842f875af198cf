"""Organizations, projects, keys and credit: what an operator changes, each in one commit."""

import hashlib
import sqlite3
from collections.abc import Callable
from typing import Any

import msgspec

from tessera.adapters.storage.ledger.books import SUSPEND, Books, sign_wallet
from tessera.adapters.storage.ledger.group import INSERT_CREDIT
from tessera.adapters.storage.ledger.losses import forgive
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.key_rules import KeyRules
from tessera.domain.ledger.chain import CHAIN_START, Value, signature
from tessera.domain.ledger.losses import SuspensionReason
from tessera.domain.ledger.transfers import Account, CreditKind, credit_source
from tessera.domain.ledger.wallet import LotBalance, add_lot, check_expiry
from tessera.domain.money import NANOS_PER_USD, Mode
from tessera.domain.people.rules import normal_name, normal_project_name
from tessera.ports import Lot
from tessera.ports.administration import ApiKey, Organization

TEST_CREDIT_NANOS = 100 * NANOS_PER_USD
"""What every organization starts with in test mode (money.md, Money in and out)."""

CREDIT_MAX_NANOS = 2**61
"""The most one wallet may ever be credited: about 2.3 billion USD, so that no sum in it leaves 63 bits."""

NAME_LENGTH_MAX = 200
DEFAULT_PROJECT = "default"

_INSERT_ORGANIZATION = "INSERT INTO organization (id, name, created_at) VALUES (?, ?, ?)"
_INSERT_WALLET = "INSERT INTO wallet (organization_id, mode, chain_link, signature) VALUES (?, ?, ?, ?) RETURNING id"
_SIGN_WALLET = "UPDATE wallet SET signature = ? WHERE id = ?"
_INSERT_PROJECT = "INSERT INTO project (id, organization_id, name, created_at) VALUES (?, ?, ?, ?)"
_INSERT_KEY = """
INSERT INTO api_key (
    id, organization_id, project_id, mode, name, digest, display, created_at, revoked_at, rules, signature
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_REVOKE_KEY = """
UPDATE api_key SET revoked_at = ?1, digest = ?2, signature = ?3
WHERE id = ?4 AND (revoked_at IS NULL OR revoked_at > ?1)
"""
_CUT_KEY = "UPDATE api_key SET cut_at = ? WHERE id = ? AND cut_at IS NULL"
_LIST_CUT_KEYS = "SELECT id FROM api_key WHERE cut_at IS NOT NULL"
_INSERT_LOT = """
INSERT INTO lot (id, wallet_id, kind, amount_nanos, expires_at, created_at, remaining_nanos)
VALUES (?, ?, ?, ?, ?, ?, ?)
"""
_FIND_ORGANIZATION = """
SELECT id, name, created_at, suspended, suspended_for FROM organization
WHERE id = ?1 OR name = ?1 ORDER BY id = ?1 DESC LIMIT 1
"""
# Waits for who deletes it on every engine, and then sees that it was.
_LOCK_OPEN = "UPDATE organization SET name = name WHERE id = ? AND closed_at IS NULL RETURNING id"
_LIST_ORGANIZATIONS = "SELECT id, name, created_at, suspended, suspended_for FROM organization ORDER BY id"
_FIND_PROJECT = """
SELECT id FROM project WHERE organization_id = ?1 AND (id = ?2 OR name = ?2) ORDER BY id = ?2 DESC LIMIT 1
"""
# Waits for who archives it on every engine, and then sees that it was.
_LOCK_PROJECT = "UPDATE project SET name = name WHERE id = ? RETURNING name, archived_at"
KEYS = """
SELECT api_key.id, api_key.name, api_key.mode, api_key.organization_id, project_id, project.name, display,
    api_key.created_at, revoked_at, rules, used_at_us, person_id
FROM api_key JOIN project ON project.id = api_key.project_id
JOIN wallet ON wallet.organization_id = api_key.organization_id AND wallet.mode = api_key.mode
LEFT JOIN meter ON meter.wallet_id = wallet.id AND meter.kind = 'key' AND meter.subject_id = api_key.id
LEFT JOIN api_key_maker ON api_key_id = api_key.id
"""
"""API keys as `key_of` reads them."""

_LIST_KEYS = KEYS + " WHERE api_key.organization_id = ? ORDER BY api_key.id"
FIND_KEY = KEYS + " WHERE api_key.id = ?"
KEY_ROW = """
SELECT id, organization_id, project_id, mode, name, digest, display, created_at, revoked_at, rules FROM api_key
WHERE id = ?
"""


def create_organization(
    connection: sqlite3.Connection, books: Books, key: bytes, name: str, now_us: int, make_id: Callable[[str], str]
) -> Organization:
    """With its default project, both wallets and its test credit. Raises [invalid_request] for a bad or taken name."""
    name = _checked_name(name, "an organization")
    if connection.execute(_FIND_ORGANIZATION, (name,)).fetchone():
        raise TesseraError(ErrorCode.INVALID_REQUEST, f"There is an organization named {name!r} already.", param="name")
    organization = Organization(id=make_id("org"), name=name, created_at=now_us // 1_000_000)
    connection.execute(_INSERT_ORGANIZATION, (organization.id, name, organization.created_at))
    connection.execute(_INSERT_PROJECT, (make_id("prj"), organization.id, DEFAULT_PROJECT, organization.created_at))
    for mode in Mode:
        row = (organization.id, mode.value, CHAIN_START, bytes(32))
        wallet_id: int = connection.execute(_INSERT_WALLET, row).fetchone()[0]
        signed = sign_wallet(key, wallet_id, organization.id, mode.value, (0,) * 8, 0, CHAIN_START)
        connection.execute(_SIGN_WALLET, (signed, wallet_id))
    add_credit(
        connection,
        books,
        organization.id,
        Mode.TEST,
        TEST_CREDIT_NANOS,
        "promotion",
        "test credit",
        None,
        now_us,
        make_id,
    )
    return organization


def find_organization(connection: sqlite3.Connection, name_or_id: str) -> Organization:
    """By id, or else by name. Raises [not_found]."""
    row = connection.execute(_FIND_ORGANIZATION, (name_or_id,)).fetchone()
    if row is None:
        raise TesseraError(ErrorCode.NOT_FOUND, f"There is no organization {name_or_id!r}.")
    return _organization(row)


def check_open(connection: sqlite3.Connection, organization_id: str) -> None:
    """That nobody deleted an organization, nor does before the end of this commit. Raises [not_found]."""
    if connection.execute(_LOCK_OPEN, (organization_id,)).fetchone() is None:
        raise TesseraError(ErrorCode.NOT_FOUND, f"There is no organization {organization_id!r} any more.")


def list_organizations(connection: sqlite3.Connection) -> tuple[Organization, ...]:
    """Oldest first."""
    return tuple(_organization(row) for row in connection.execute(_LIST_ORGANIZATIONS))


def suspend(
    connection: sqlite3.Connection, books: Books, organization_id: str, reason: SuspensionReason | None
) -> Organization:
    """Suspends an organization, or lifts its suspension with None, whatever it was: an operator says so. Lifted, its
    losses count from zero again. Raises [not_found].
    """
    organization = find_organization(connection, organization_id)
    connection.execute(SUSPEND, (int(reason is not None), reason.value if reason else None, organization.id))
    books.note_suspension(organization.id, reason)
    if reason is None:
        forgive(connection, organization.id)
    return find_organization(connection, organization.id)


def create_key(
    connection: sqlite3.Connection, checkpoint_key: bytes, key: ApiKey, digest: bytes, make_id: Callable[[str], str]
) -> ApiKey:
    """Stores a key, and its project if that is new, whose id and name it fills in.

    Raises [invalid_request], for an archived project too, and [not_found].
    """
    name = _checked_name(key.name, "a key") if key.name else ""
    organization = find_organization(connection, key.organization_id)
    project_id, project = _project_of(connection, organization.id, key, make_id)
    rules = rules_text(key.rules)
    who = (key.id, organization.id, project_id, key.mode.value, name)
    row = (*who, digest, key.display, key.created_at, None, rules)
    connection.execute(_INSERT_KEY, (*row, sign_key(checkpoint_key, row)))
    return ApiKey(
        id=key.id,
        name=name,
        mode=key.mode,
        organization_id=organization.id,
        project_id=project_id,
        project=project,
        display=key.display,
        created_at=key.created_at,
        rules=key.rules,
    )


def _project_of(
    connection: sqlite3.Connection, organization_id: str, key: ApiKey, make_id: Callable[[str], str]
) -> tuple[str, str]:
    """Id and name of the project that a key names by either; made when nothing has that name."""
    asked = key.project_id or normal_name(key.project, param="project")
    found = connection.execute(_FIND_PROJECT, (organization_id, asked)).fetchone()
    if found is None:
        project_id, name = make_id("prj"), normal_project_name(asked)
        connection.execute(_INSERT_PROJECT, (project_id, organization_id, name, key.created_at))
        return project_id, name
    name, archived_at = connection.execute(_LOCK_PROJECT, found).fetchone()
    if archived_at is not None:
        raise TesseraError(ErrorCode.INVALID_REQUEST, f"The project {name!r} is archived.")
    return found[0], name


def list_keys(connection: sqlite3.Connection, organization_id: str) -> tuple[ApiKey, ...]:
    """Oldest first, revoked ones too. Raises [not_found]."""
    organization = find_organization(connection, organization_id)
    return tuple(key_of(row) for row in connection.execute(_LIST_KEYS, (organization.id,)))


def revoke_key(
    connection: sqlite3.Connection, checkpoint_key: bytes, key_id: str, now_us: int, *, cut: bool = False
) -> ApiKey:
    """Revokes a key for good; a second time changes nothing but that `cut` may be added. Raises [not_found]."""
    row = connection.execute(KEY_ROW, (key_id,)).fetchone()
    if row is None:
        raise TesseraError(ErrorCode.NOT_FOUND, f"There is no key {key_id!r}.")
    now = now_us // 1_000_000
    ended = (*row[:5], ended_digest(key_id), *row[6:8], now, row[9])
    connection.execute(_REVOKE_KEY, (now, ended[5], sign_key(checkpoint_key, ended), key_id))
    if cut:
        connection.execute(_CUT_KEY, (now, key_id))
    return key_of(connection.execute(FIND_KEY, (key_id,)).fetchone())


def ended_digest(key_id: str) -> bytes:
    """What stands in place of the digest of a key that has ended: no secret has it, so that no clock that is set back
    brings the key back."""
    return hashlib.sha256(b"ended " + key_id.encode()).digest()


def find_cut_keys(connection: sqlite3.Connection, key_ids: tuple[str, ...]) -> frozenset[str]:
    """Those of these keys whose running calls are to be cut."""
    return frozenset(key_ids).intersection(row[0] for row in connection.execute(_LIST_CUT_KEYS))


def add_credit(
    connection: sqlite3.Connection,
    books: Books,
    organization_id: str,
    mode: Mode,
    amount_nanos: int,
    kind: str,
    note: str,
    expires_at: int | None,
    now_us: int,
    make_id: Callable[[str], str],
) -> Lot:
    """A new lot of credit, moved into `available`. Raises [invalid_request, not_found]."""
    if kind not in set(CreditKind):
        kinds = ", ".join(CreditKind)
        raise TesseraError(ErrorCode.INVALID_REQUEST, f"A credit's kind is one of {kinds}, not {kind!r}.", param="kind")
    if amount_nanos <= 0:
        raise TesseraError(ErrorCode.INVALID_REQUEST, "A credit must be more than zero.", param="amount")
    now = now_us // 1_000_000
    check_expiry(expires_at, now)
    book = books.book(connection, organization_id, mode)
    credited = -book.operator[Account.CASH] - book.operator[Account.PROMOTIONS]
    if credited + amount_nanos > CREDIT_MAX_NANOS:
        raise TesseraError(ErrorCode.INVALID_REQUEST, "That is more than the ledger can hold.", param="amount")
    lot = Lot(
        id=make_id("lot"),
        kind=kind,
        amount_nanos=amount_nanos,
        remaining_nanos=amount_nanos,
        created_at=now,
        expires_at=expires_at,
    )
    connection.execute(_INSERT_LOT, (lot.id, book.id, kind, amount_nanos, expires_at, now, amount_nanos))
    source = credit_source(CreditKind(kind))
    values: tuple[Value, ...] = (
        make_id("crd"),
        book.id,
        lot.id,
        kind,
        source.value,
        Account.AVAILABLE.value,
        amount_nanos,
        expires_at,
        note,
        now_us,
    )
    connection.execute(INSERT_CREDIT, (*values, *book.link("credit", values)))
    book.move(source, Account.AVAILABLE, amount_nanos)
    book.wallet = add_lot(
        book.wallet, LotBalance(id=lot.id, kind=kind, expires_at=expires_at, remaining_nanos=amount_nanos)
    )
    return lot


def sign_key(checkpoint_key: bytes, row: tuple[Value, ...]) -> bytes:
    """The signature of an API key's row, whose last value are its rules: whose money it spends and on what cannot be
    changed unseen. A key without rules is signed as keys were before there were any."""
    return signature(checkpoint_key, "api_key", row[:-1] if row[-1] is None else row)


def _checked_name(name: str, what: str) -> str:
    name = name.strip()
    if not 0 < len(name) <= NAME_LENGTH_MAX or not name.isprintable():
        raise TesseraError(
            ErrorCode.INVALID_REQUEST,
            f"The name of {what} has 1 to {NAME_LENGTH_MAX} printable characters.",
            param="name",
        )
    return name


def _organization(row: tuple[Any, ...]) -> Organization:
    return Organization(id=row[0], name=row[1], created_at=row[2], suspended=bool(row[3]), suspended_for=row[4])


def key_of(row: tuple[Any, ...]) -> ApiKey:
    """An API key from the columns of `KEYS`."""
    return ApiKey(
        id=row[0],
        name=row[1],
        mode=Mode(row[2]),
        organization_id=row[3],
        project_id=row[4],
        project=row[5],
        display=row[6],
        created_at=row[7],
        revoked_at=row[8],
        rules=read_rules(row[9]),
        last_used_at=row[10] // 1_000_000 if row[10] else None,
        maker_id=row[11],
    )


def rules_text(rules: KeyRules | None) -> str | None:
    """The rules of a key as its row has them."""
    return None if rules is None else msgspec.json.encode(rules).decode()


def read_rules(text: str | None) -> KeyRules | None:
    """A key's rules out of its row."""
    return None if text is None else msgspec.json.decode(text, type=KeyRules)
