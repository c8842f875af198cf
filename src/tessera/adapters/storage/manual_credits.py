"""Credit that operators give by hand over HTTP: what one may give alone, and what two must agree on.

Always holds: what one person gave alone within 24 hours is at most the policy's amount; a credit is given at most once.
"""

from typing import Any

import msgspec

from tessera.adapters.storage.people.audit_log import record
from tessera.adapters.storage.people.steps import AddCredit, Steps, Store, change, first, read, rows
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.ledger.wallet import check_expiry
from tessera.domain.money import Mode
from tessera.domain.people.records import Act
from tessera.ports import Lot, Page
from tessera.ports.customers import CreditPolicy, CreditState, ManualCredit, NewCredit

ALONE_S = 24 * 3600

_COLUMNS = """id, organization_id, mode, kind, amount_nanos, note, credit_expires_at, state, made_by, made_at,
    approve_until, approved_by, lot_id"""
# Locked as it is found: an approval and a withdrawal may come at the same time.
_TAKE = f"UPDATE manual_credit SET note = note WHERE id = $1 RETURNING {_COLUMNS}"  # noqa: S608
_REPEATED = f"SELECT {_COLUMNS} FROM manual_credit WHERE made_by = $1 AND idempotency_key = $2"  # noqa: S608
_INSERT = f"""
INSERT INTO manual_credit (
    id, organization_id, mode, kind, amount_nanos, note, credit_expires_at, state, made_by, made_at, approve_until,
    lot_id, idempotency_key
) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) RETURNING {_COLUMNS}
"""  # noqa: S608
_END = "UPDATE manual_credit SET state = $2, approved_by = $3, lot_id = $4 WHERE id = $1 AND state = 'pending'"
_LIST = f"""
SELECT {_COLUMNS} FROM manual_credit
WHERE id < $1
    AND ($2 = '' OR $2 = CASE WHEN state = 'pending' AND approve_until <= $3 THEN 'expired' ELSE state END)
ORDER BY id DESC LIMIT $4
"""  # noqa: S608
_NEWEST = "zzzz"

# An organization that is being deleted is gone, or deleted afterwards, when it is found to have money.
_LOCK_CUSTOMER = "UPDATE organization SET name = name WHERE id = $1 AND closed_at IS NULL RETURNING id"

# Credits of one person wait for each other on every engine: who adds up what was given sees the last one.
_LOCK_OPERATOR = "UPDATE person SET name = name WHERE id = $1 AND is_operator = 1 RETURNING id"
_GIVEN_ALONE = """
SELECT coalesce(sum(amount_nanos), 0) FROM manual_credit
WHERE made_by = $1 AND made_at > $2 AND mode = 'live' AND state = 'given' AND approved_by IS NULL
"""


class ManualCredits(Store):
    """The part of the port `Customers` that is about credit."""

    @change
    def give_credit(self, act: Act, new: NewCredit, policy: CreditPolicy) -> Steps[tuple[ManualCredit, bool]]:
        """See the port."""
        maker = yield from _operator(act)
        repeated = yield from first(_REPEATED, maker, new.idempotency_key)
        if repeated is not None:
            return _same(_credit(repeated, self.now()), new), True
        if (yield from first(_LOCK_CUSTOMER, new.organization_id)) is None:
            raise _no_customer(new.organization_id)
        credit_id, now = self.make_id("mcr"), self.now()
        check_expiry(new.credit_expires_at, now)
        alone = yield from _may_give_alone(maker, new, policy, now)
        lot = (yield from _give(new)) if alone else None
        row = yield from first(
            _INSERT,
            credit_id,
            new.organization_id,
            new.mode.value,
            new.kind,
            new.amount_nanos,
            new.note,
            new.credit_expires_at,
            (CreditState.PENDING if lot is None else CreditState.GIVEN).value,
            maker,
            now,
            now + policy.waits_s,
            None if lot is None else lot.id,
            new.idempotency_key,
        )
        assert row is not None
        yield from _record(self, act, "credit.asked" if lot is None else "credit.added", credit_id, new, lot)
        return _credit(row, now), False

    @change
    def approve_credit(self, act: Act) -> Steps[ManualCredit]:
        """See the port."""
        approver = yield from _operator(act)
        found = yield from self._waiting(act.object_id)
        if found.made_by == approver:
            raise TesseraError(
                ErrorCode.PERMISSION_DENIED, "Who asked for this credit cannot approve it: another operator must."
            )
        if (yield from first(_LOCK_CUSTOMER, found.organization_id)) is None:
            raise _no_customer(found.organization_id)
        lot = yield from _give(found)
        yield from rows(_END, found.id, CreditState.GIVEN.value, approver, lot.id)
        yield from _record(self, act, "credit.added", found.id, found, lot)
        return msgspec.structs.replace(found, state=CreditState.GIVEN, approved_by=approver, lot_id=lot.id)

    @change
    def withdraw_credit(self, act: Act) -> Steps[ManualCredit]:
        """See the port."""
        yield from _operator(act)
        found = yield from self._waiting(act.object_id)
        yield from rows(_END, found.id, CreditState.WITHDRAWN.value, None, None)
        yield from _record(self, act, "credit.withdrawn", found.id, found, None)
        return msgspec.structs.replace(found, state=CreditState.WITHDRAWN)

    @read
    def list_credits(self, state: CreditState | None, page: Page) -> Steps[tuple[ManualCredit, ...]]:
        """See the port."""
        now, wanted = self.now(), "" if state is None else state.value
        found = yield from rows(_LIST, page.after or _NEWEST, wanted, now, page.limit)
        return tuple(_credit(row, now) for row in found)

    def _waiting(self, credit_id: str) -> Steps[ManualCredit]:
        row = yield from first(_TAKE, credit_id)
        if row is None:
            raise TesseraError(ErrorCode.NOT_FOUND, f"There is no credit {credit_id[:64]!r}.")
        found = _credit(row, self.now())
        if found.state is not CreditState.PENDING:
            raise TesseraError(ErrorCode.INVALID_REQUEST, f"This credit waits no more: it is {found.state.value}.")
        return found


_ASKED = ("organization_id", "mode", "kind", "amount_nanos", "note", "credit_expires_at")


def _operator(act: Act) -> Steps[str]:
    """Who acts, if they still are an operator; their other credits wait until this commit is done."""
    person_id = act.actor.person_id or ""
    if (yield from first(_LOCK_OPERATOR, person_id)) is None:
        raise TesseraError(ErrorCode.PERMISSION_DENIED, "Only operators of this installation may do this.")
    return person_id


def _may_give_alone(maker: str, new: NewCredit, policy: CreditPolicy, now: int) -> Steps[bool]:
    if new.mode is not Mode.LIVE:
        return True
    row = yield from first(_GIVEN_ALONE, maker, now - ALONE_S)
    assert row is not None
    return int(row[0]) + new.amount_nanos <= policy.alone_max_nanos


def _give(credit: NewCredit | ManualCredit) -> Steps[Lot]:
    lot: Lot = yield AddCredit(
        credit.organization_id,
        credit.mode,
        credit.amount_nanos,
        credit.kind,
        credit.note,
        credit.credit_expires_at,
    )
    return lot


def _record(
    store: Store, act: Act, action: str, credit_id: str, credit: NewCredit | ManualCredit, lot: Lot | None
) -> Steps[None]:
    details = {
        "mode": credit.mode.value,
        "kind": credit.kind,
        "amount_nanos": credit.amount_nanos,
        "expires_at": credit.credit_expires_at,
        "lot": lot.id if lot else None,
    }
    yield from record(
        store, Act(actor=act.actor, action=action, object_id=credit_id, scope=credit.organization_id, details=details)
    )


def _same(found: ManualCredit, new: NewCredit) -> ManualCredit:
    if any(getattr(found, name) != getattr(new, name) for name in _ASKED):
        raise TesseraError(
            ErrorCode.IDEMPOTENCY_MISMATCH,
            "This Idempotency-Key was used for another credit. Use a new key for each.",
            param="Idempotency-Key",
        )
    return found


def _no_customer(organization_id: str) -> TesseraError:
    return TesseraError(ErrorCode.NOT_FOUND, f"There is no organization {organization_id[:64]!r}.")


def _credit(row: tuple[Any, ...], now: int) -> ManualCredit:
    state = CreditState(row[7])
    if state is CreditState.PENDING and row[10] <= now:
        state = CreditState.EXPIRED
    return ManualCredit(
        id=row[0],
        organization_id=row[1],
        mode=Mode(row[2]),
        kind=row[3],
        amount_nanos=row[4],
        note=row[5],
        credit_expires_at=row[6],
        state=state,
        made_by=row[8],
        made_at=row[9],
        approve_until=row[10],
        approved_by=row[11],
        lot_id=row[12],
    )
