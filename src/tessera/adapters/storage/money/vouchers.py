"""Vouchers: made by an operator, redeemed at most as often as they say, once by each organization."""

from typing import Any

from tessera.adapters.storage.ledger.accounts import add_credit
from tessera.adapters.storage.money.adjustments import Desk
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.money import Mode
from tessera.domain.payments.records import Voucher
from tessera.ports import Lot, Page

_NEWEST = "~"
_VOUCHER = """
SELECT id, display, mode, amount_nanos, redemptions_max, redemptions, expires_at, credit_seconds, note, created_at,
    revoked_at
FROM voucher
"""
_INSERT = """
INSERT INTO voucher (
    id, digest, display, mode, amount_nanos, redemptions_max, expires_at, credit_seconds, note, created_at
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_FIND = _VOUCHER + " WHERE id = ?"
_FIND_BY_DIGEST = _VOUCHER + " WHERE digest = ?"
_LIST = _VOUCHER + " WHERE id < ? ORDER BY id DESC LIMIT ?"
_REVOKE = "UPDATE voucher SET revoked_at = ? WHERE id = ? AND revoked_at IS NULL"
_REDEEMED = "SELECT lot_id FROM voucher_redemption WHERE voucher_id = ? AND organization_id = ?"
REDEEM = """
UPDATE voucher SET redemptions = redemptions + 1
WHERE id = ? AND redemptions < redemptions_max AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > ?)
"""
"""Check and act in one conditional statement: it locks the row on PostgreSQL, and SQLite has one writer."""
_INSERT_REDEMPTION = """
INSERT INTO voucher_redemption (voucher_id, organization_id, lot_id, redeemed_at) VALUES (?, ?, ?, ?)
"""


def create_voucher(desk: Desk, voucher: Voucher, digest: str) -> Voucher:
    """Stores a voucher by its code's digest."""
    bounds = (voucher.redemptions_max, voucher.expires_at, voucher.credit_seconds, voucher.note, desk.now)
    what = (voucher.id, digest, voucher.display, voucher.mode.value, voucher.amount_nanos)
    desk.connection.execute(_INSERT, what + bounds)
    return _voucher_of(desk.connection.execute(_FIND, (voucher.id,)).fetchone())


def list_vouchers(connection: Any, page: Page) -> tuple[Voucher, ...]:
    """Newest first, used and revoked ones too."""
    return tuple(_voucher_of(row) for row in connection.execute(_LIST, (page.after or _NEWEST, page.limit)))


def revoke_voucher(desk: Desk, voucher_id: str) -> Voucher:
    """Ends a voucher for good; what was redeemed stays. Raises [not_found]."""
    desk.connection.execute(_REVOKE, (desk.now, voucher_id))
    row = desk.connection.execute(_FIND, (voucher_id,)).fetchone()
    if row is None:
        raise TesseraError(ErrorCode.NOT_FOUND, f"There is no voucher {voucher_id[:64]!r}.")
    return _voucher_of(row)


def redeem_voucher(desk: Desk, organization_id: str, mode: Mode, digest: str) -> Lot:
    """Turns a voucher into a lot of promotional credit.

    Raises [invalid_request], in one text for codes that never were, are used up, revoked or over; another for one that
    this organization has redeemed, and for one of the other mode.
    """
    book = desk.book(organization_id, mode)
    row = desk.connection.execute(_FIND_BY_DIGEST, (digest,)).fetchone()
    if row is None:
        raise _unusable()
    voucher = _voucher_of(row)
    earlier = desk.connection.execute(_REDEEMED, (voucher.id, organization_id)).fetchone()
    if earlier is not None:
        raise TesseraError(
            ErrorCode.INVALID_REQUEST,
            "This organization has redeemed this voucher already.",
            param="code",
            details={"lot": earlier[0]},
        )
    if voucher.mode is not mode:
        raise TesseraError(
            ErrorCode.INVALID_REQUEST,
            f"This voucher is for {voucher.mode} credit: use a {voucher.mode} key.",
            param="code",
        )
    if desk.connection.execute(REDEEM, (voucher.id, desk.now)).rowcount != 1:
        raise _unusable()
    expires_at = None if voucher.credit_seconds is None else desk.now + voucher.credit_seconds
    lot = add_credit(
        desk.connection,
        desk.books,
        book.organization_id,
        mode,
        voucher.amount_nanos,
        "promotion",
        f"voucher {voucher.id}",
        expires_at,
        desk.now_us,
        desk.make_id,
    )
    desk.connection.execute(_INSERT_REDEMPTION, (voucher.id, organization_id, lot.id, desk.now))
    return lot


def _unusable() -> TesseraError:
    return TesseraError(
        ErrorCode.INVALID_REQUEST, "There is no voucher with this code that can still be redeemed.", param="code"
    )


def _voucher_of(row: tuple[Any, ...]) -> Voucher:
    return Voucher(
        id=row[0],
        display=row[1],
        mode=Mode(row[2]),
        amount_nanos=row[3],
        redemptions_max=row[4],
        redemptions=row[5],
        expires_at=row[6],
        credit_seconds=row[7],
        note=row[8],
        created_at=row[9],
        revoked_at=row[10],
    )
