"""One group of orders, decided in order and written in one commit.

Settlements are decided first, because what they return may be held by the orders that waited beside them.
"""

import sqlite3
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from tessera.adapters.storage.ledger.books import Book, Books, OpenHold, expect
from tessera.adapters.storage.ledger.losses import Losses
from tessera.adapters.storage.ledger.meters import Meters
from tessera.adapters.storage.ledger.repeats import find_earlier, repeated
from tessera.adapters.storage.ledger.rows import (
    INSERT_EVENT,
    INSERT_HOLD,
    INSERT_QUOTE,
    SELECT_EVENT,
    decode_draws,
    event_values,
    hold_values,
)
from tessera.adapters.storage.ledger.usage_sums import UsageSums
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.ledger.chain import Value
from tessera.domain.ledger.holds import decide_holds
from tessera.domain.ledger.losses import LossLimits, orphan_loss
from tessera.domain.ledger.orders import HoldGrant, HoldOrder, Outcome
from tessera.domain.ledger.resolutions import HoldState, Resolution, resolve_holds, resolved_state
from tessera.domain.ledger.transfers import Account, CreditKind, expiry_target
from tessera.domain.ledger.wallet import expire_lots
from tessera.domain.money import Mode
from tessera.domain.quantities import Quantities
from tessera.domain.usage import Policy, UsageEvent, UsageSource

FIND_HOLD = """
SELECT number, amount_nanos, draws, state, project_id, key_id, model, endpoint FROM hold WHERE wallet_id = ? AND id = ?
"""

_FIND_PLACED = """
SELECT amount_nanos, fingerprint, asked_nanos, asked_min_nanos, state FROM hold WHERE wallet_id = ? AND id = ?
"""

RESOLVE_HOLD = """
UPDATE hold SET state = ?, charge_nanos = ? WHERE number = ? AND state = 'open' AND amount_nanos = ?
"""

_TAKE_KEY = """
INSERT INTO idempotency (wallet_id, key, hold_number, fingerprint, placed_at_us) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (wallet_id, key) DO UPDATE SET hold_number = excluded.hold_number, fingerprint = excluded.fingerprint,
    placed_at_us = excluded.placed_at_us, status = NULL, content_type = NULL, body = NULL
"""

_KEEP_REPLY = "UPDATE idempotency SET status = ?, content_type = ?, body = ? WHERE hold_number = ?"

_FREE_KEY = "DELETE FROM idempotency WHERE hold_number = ? AND status IS NULL"

_RECORD_REFUSAL = """
INSERT INTO refused_settlement (hold_id, reason, event, refused_at_us) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING
"""

_FIND_QUOTE = "SELECT quote FROM hold_quote WHERE hold_number = ?"

INSERT_CREDIT = """
INSERT INTO credit (
    id, wallet_id, lot_id, kind, from_account, to_account, amount_nanos, expires_at, note, created_at_us, chain_seq,
    chain_link
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""

_encode = msgspec.json.Encoder().encode

_NO_CHARGE = {
    outcome: _encode({"amount": "0.00", "nanos": 0, "lines": [], "policy": policy})
    for outcome, policy in ((Outcome.EXPIRED, Policy.DIED), (Outcome.CANCELLED, Policy.LEFT_UNSENT))
}

Answer = HoldGrant | None | Exception


class VoidOrder(msgspec.Struct, frozen=True):
    """Ends a hold nobody will use, if it exists and is open: its caller has gone, or its process has died."""

    hold_id: str
    organization_id: str
    mode: Mode
    outcome: Outcome


Order = HoldOrder | UsageEvent | VoidOrder


class Group:
    """The writes one transaction will make, gathered while orders are decided.

    `answers` are by position of the order; an order that must wait for another of the same group stands in
    `deferred` instead and is decided in the next one.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        books: Books,
        now_us: int,
        make_id: Callable[[str], str],
        limits: LossLimits,
        *,
        careful: bool,
    ) -> None:
        self._connection = connection
        self._books = books
        self._now_us = now_us
        self._make_id = make_id
        self._careful = careful
        self._losses = Losses(connection, books, limits)
        self._usage = UsageSums(connection, books)
        self._meters = Meters(connection, self._usage, now_us)
        self.answers: dict[int, Answer] = {}
        self.deferred: list[int] = []
        self.resolved: list[str] = []
        self._hold_rows: list[tuple[Value, ...]] = []
        self._quote_rows: list[tuple[Value, ...]] = []
        self._event_rows: list[tuple[Value, ...]] = []
        self._resolved_rows: list[tuple[Value, ...]] = []
        self._key_rows: list[tuple[Value, ...]] = []
        self._reply_rows: list[tuple[Value, ...]] = []
        self._freed_rows: list[tuple[Value, ...]] = []
        self._refused_rows: list[tuple[Value, ...]] = []

    def decide(self, orders: Sequence[Order]) -> None:
        """Decides every order; nothing is written yet except expired credit."""
        self._settle([(i, order) for i, order in enumerate(orders) if not isinstance(order, HoldOrder)])
        self._hold([(i, order) for i, order in enumerate(orders) if isinstance(order, HoldOrder)])

    def write(self) -> None:
        """Writes everything decided. Raises Conflict or sqlite3.Error; the caller rolls back."""
        connection = self._connection
        self._usage.write()
        if self._hold_rows:
            connection.executemany(INSERT_HOLD, self._hold_rows)
            connection.executemany(INSERT_QUOTE, self._quote_rows)
        if self._resolved_rows:
            expect(connection.executemany(RESOLVE_HOLD, self._resolved_rows), len(self._resolved_rows))
            connection.executemany(INSERT_EVENT, self._event_rows)
        if self._key_rows:
            connection.executemany(_TAKE_KEY, self._key_rows)
        if self._reply_rows:
            connection.executemany(_KEEP_REPLY, self._reply_rows)
        if self._freed_rows:
            connection.executemany(_FREE_KEY, self._freed_rows)
        if self._refused_rows:
            connection.executemany(_RECORD_REFUSAL, self._refused_rows)
        self._losses.write()
        self._meters.write()
        self._books.write(connection)

    # ---- settlements --------------------------------------------------------------------------------------------

    def _settle(self, orders: list[tuple[int, UsageEvent | VoidOrder]]) -> None:
        seen: set[str] = set()
        resolutions: dict[int, tuple[Book, list[Resolution]]] = {}
        for index, order in orders:
            if order.hold_id in seen:
                self.deferred.append(index)
                continue
            seen.add(order.hold_id)
            try:
                book = self._books.book(self._connection, order.organization_id, order.mode)
                resolution = self._resolve(book, order)
            except TesseraError as error:
                self.answers[index] = self._kept(order, error)
                continue
            self.answers[index] = None
            if resolution is not None:
                resolutions.setdefault(book.id, (book, []))[1].append(resolution)
        for book, resolved in resolutions.values():
            book.wallet = resolve_holds(book.wallet, resolved)

    def _resolve(self, book: Book, order: UsageEvent | VoidOrder) -> Resolution | None:
        """Gathers the rows that end a hold; None if there is nothing left to do. Raises [internal_error]."""
        open_hold = self._books.open_holds.get(order.hold_id)
        if open_hold is None:
            row = self._connection.execute(FIND_HOLD, (book.id, order.hold_id)).fetchone()
            if row is None or row[3] != HoldState.OPEN:
                self._check_done(order, row)
                return None
            open_hold = OpenHold(row[0], row[1], decode_draws(row[2]), row[4:8])
        if isinstance(order, UsageEvent):
            event = order if order.past_allowance is None else self._losses.choose(book, order)
        else:
            event = unserved(order, self._now_us, self._orphan_loss(order, open_hold.number))
        amounts = (event.charge_nanos, event.waived_nanos, event.cost_nanos, event.loss_nanos)
        if min(amounts) < 0 or event.charge_nanos > open_hold.amount_nanos:
            raise self._refuse(event, "it does not fit its hold")
        values = event_values(event, open_hold.number)
        self._event_rows.append((*values, *book.link("event", values)))
        self._usage.add(book, open_hold.kind, open_hold.number, event)
        state = resolved_state(event.outcome, event.charge_nanos)
        self._resolved_rows.append((state._value_, event.charge_nanos, open_hold.number, open_hold.amount_nanos))
        book.settle(event.charge_nanos, event.cost_nanos)
        if event.loss_nanos:
            book.move(Account.OPERATOR_LOSS, Account.PROVIDER_PAYABLE, event.loss_nanos)
            self._losses.add(book, event)
        if event.reply is not None:
            reply = event.reply
            self._reply_rows.append((reply.status, reply.content_type, reply.body, open_hold.number))
        elif isinstance(order, VoidOrder):
            self._freed_rows.append((open_hold.number,))
        self._meters.resolve(book, open_hold, event)
        self.resolved.append(order.hold_id)
        return Resolution(amount_nanos=open_hold.amount_nanos, charge_nanos=event.charge_nanos, draws=open_hold.draws)

    def _orphan_loss(self, order: VoidOrder, number: int) -> int:
        """What the provider may bill for a call whose process died; one that was only given back was never sent."""
        if order.outcome is not Outcome.EXPIRED:
            return 0
        row = self._connection.execute(_FIND_QUOTE, (number,)).fetchone()
        return 0 if row is None else orphan_loss(row[0], order.mode)

    def _kept(self, order: UsageEvent | VoidOrder, error: TesseraError) -> TesseraError:
        """A settlement that its wallet did not take is kept for reconciliation, whatever the reason."""
        if isinstance(order, UsageEvent) and error.code is not ErrorCode.INTERNAL_ERROR:
            return self._refuse(order, "its wallet cannot be used")
        return error

    def _check_done(self, order: UsageEvent | VoidOrder, row: tuple[Any, ...] | None) -> None:
        """A hold that is not there or not open: fine for a void and for the same event again, refused otherwise."""
        if isinstance(order, VoidOrder):
            return
        if row is None:
            raise self._refuse(order, "there is no such hold")
        written = self._connection.execute(SELECT_EVENT, (row[0],)).fetchone()
        if written == event_values(order, row[0]):
            return
        if order.past_allowance is not None and written == event_values(order.past_allowance, row[0]):
            return
        raise self._refuse(order, f"its hold is already {row[3]}")

    def _refuse(self, event: UsageEvent, reason: str) -> TesseraError:
        self._refused_rows.append(_refusal_row(event, reason, self._now_us))
        return TesseraError(
            ErrorCode.INTERNAL_ERROR,
            f"The settlement of request {event.hold_id} was refused: {reason}. It is kept for reconciliation.",
            should_retry=False,
        )

    # ---- holds --------------------------------------------------------------------------------------------------

    def _hold(self, orders: list[tuple[int, HoldOrder]]) -> None:
        keys: set[tuple[int, str]] = set()
        waiting: dict[int, tuple[Book, list[tuple[int, HoldOrder]]]] = {}
        for index, order in orders:
            try:
                book = self._books.book(self._connection, order.organization_id, order.mode)
                if order.idempotency_key is not None:
                    if (book.id, order.idempotency_key) in keys:
                        self.deferred.append(index)
                        continue
                    keys.add((book.id, order.idempotency_key))
                repeat = self._repeat(book, order)
            except TesseraError as error:
                self.answers[index] = error
                continue
            if repeat is not None:
                self.answers[index] = repeat
            else:
                waiting.setdefault(book.id, (book, []))[1].append((index, order))
        for book, placing in waiting.values():
            self._place(book, placing)

    def _repeat(self, book: Book, order: HoldOrder) -> HoldGrant | None:
        """The answer to an order that was given before: by its idempotency key, or by its own id."""
        if order.idempotency_key is not None:
            earlier = find_earlier(self._connection, book.id, order.idempotency_key)
            if earlier is not None:
                own = earlier.hold_id == order.id and earlier.fingerprint == order.fingerprint
                if own and earlier.state is HoldState.OPEN:
                    return HoldGrant(granted_nanos=earlier.amount_nanos)
                return repeated(earlier, order)
        if self._careful or order.id in self._books.open_holds:
            return self._placed_before(book, order)
        return None

    def _placed_before(self, book: Book, order: HoldOrder) -> HoldGrant | None:
        placed = self._connection.execute(_FIND_PLACED, (book.id, order.id)).fetchone()
        return None if placed is None else _same_order(order, placed)

    def _place(self, book: Book, placing: list[tuple[int, HoldOrder]]) -> None:
        expire_credit(self._connection, book, self._now_us, self._make_id)
        orders = [order for _, order in placing]
        metered = [self._meters.today(book, order.project_id, order.key_id) for order in orders]
        book.wallet, decisions = decide_holds(book.wallet, orders, metered, self._now_us)
        for (index, order), meters, decision in zip(placing, metered, decisions, strict=True):
            if isinstance(decision, TesseraError):
                self.answers[index] = self._refusal(book, order, decision)
                continue
            number = self._books.next_number(self._connection)
            values = hold_values(order, number, book.id, decision)
            self._hold_rows.append((*values[:-1], *book.link("hold", values)))
            self._quote_rows.append((number, order.quote))
            if order.idempotency_key is not None:
                self._key_rows.append((book.id, order.idempotency_key, number, order.fingerprint, order.placed_at_us))
            kind = (order.project_id, order.key_id, order.model, order.endpoint)
            self._books.open_holds[order.id] = OpenHold(number, decision.amount_nanos, decision.draws, kind)
            self._meters.changed(book, meters)
            self.answers[index] = HoldGrant(granted_nanos=decision.amount_nanos, rate=decision.rate)

    def _refusal(self, book: Book, order: HoldOrder, refusal: TesseraError) -> HoldGrant | TesseraError:
        """A refused order may be one that was granted before: the money it lacks is what it holds itself."""
        try:
            return self._placed_before(book, order) or refusal
        except TesseraError as error:
            return error


def expire_credit(connection: sqlite3.Connection, book: Book, now_us: int, make_id: Callable[[str], str]) -> None:
    """Takes expired lots' rest out of a wallet, one transfer per lot."""
    kinds = {lot.id: CreditKind(lot.kind) for lot in book.wallet.lots if lot.expires_at is not None}
    if not kinds:
        return
    book.wallet, taken = expire_lots(book.wallet, now_us // 1_000_000)
    for draw in taken:
        target = expiry_target(kinds[draw.lot_id])
        values = (
            make_id("crd"),
            book.id,
            draw.lot_id,
            "expiry",
            Account.AVAILABLE.value,
            target.value,
            draw.amount_nanos,
            None,
            "credit expired",
            now_us,
        )
        connection.execute(INSERT_CREDIT, (*values, *book.link("credit", values)))
        book.move(Account.AVAILABLE, target, draw.amount_nanos)


def unserved(order: VoidOrder, now_us: int, loss_nanos: int) -> UsageEvent:
    """The event of a hold that ends without anything known of its call: nothing is charged."""
    return UsageEvent(
        hold_id=order.hold_id,
        organization_id=order.organization_id,
        mode=order.mode,
        outcome=order.outcome,
        status=0,
        deployment="",
        served_tier="",
        price_version="",
        usage=Quantities(),
        usage_source=UsageSource.NONE,
        predicted_input_tokens=0,
        predicted_image_tokens=0,
        charge_nanos=0,
        waived_nanos=0,
        cost_nanos=0,
        loss_nanos=loss_nanos,
        charge=_NO_CHARGE[order.outcome],
        attempts=(),
        settled_at_us=now_us,
        latency_ms=0,
        first_byte_ms=None,
    )


def _same_order(order: HoldOrder, placed: tuple[Any, ...]) -> HoldGrant:
    """The grant of an order whose answer was lost. Raises [invalid_request] if it is another order, or is over."""
    amount, fingerprint, asked, asked_min, state = placed
    same = (fingerprint, asked, asked_min) == (order.fingerprint, order.amount_nanos, order.amount_min_nanos)
    if same and state == HoldState.OPEN:
        return HoldGrant(granted_nanos=amount)
    raise TesseraError(ErrorCode.INVALID_REQUEST, f"The request id {order.id} was used before.", should_retry=False)


def record_refusal(connection: sqlite3.Connection, event: UsageEvent, reason: str, now_us: int) -> None:
    """Keeps a settlement that was not applied, for reconciliation."""
    connection.execute(_RECORD_REFUSAL, _refusal_row(event, reason, now_us))


def _refusal_row(event: UsageEvent, reason: str, now_us: int) -> tuple[Value, ...]:
    return (event.hold_id, reason, _encode(event), now_us)
