"""The random walk over the ledger with payments: top-ups, fees, refunds, disputes, vouchers, in any order, repeated."""

from typing import NamedTuple

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, MultipleResults, initialize, multiple, rule, run_state_machine_as_test

from ledger_calls import new_id
from ledger_machine import LedgerMachine, TwoReplicas
from payment_events import claimed, event, paid, topup_order
from postgres_server import PostgresServer
from tessera.adapters.storage.money.store import SqlMoney
from tessera.domain.errors import TesseraError
from tessera.domain.ledger.orders import HoldOrder
from tessera.domain.money import Mode
from tessera.domain.payments.news import Claimed, Fee, FeeTaken, Outcome, PaymentEvent
from tessera.domain.payments.records import NANOS_PER_CENT, ClaimKind, TopUpOrder, Voucher
from tessera.domain.usage import UsageEvent

ENDS = st.sampled_from(["open", "reversed", "never was"])
CENTS = st.integers(min_value=1, max_value=3)


DRAWS = """
SELECT hold_number, lot_id, lot_draw.amount_nanos, charge_nanos, state = 'open', kind <> 'promotion'
FROM lot_draw JOIN lot ON lot.id = lot_id ORDER BY hold_number, lot_id
"""


class Draw(NamedTuple):
    """What a call drew on a lot, and what of it was charged."""

    amount: int
    charge: int
    open: bool
    paid: bool


class Pot:
    """What lots have remaining, of paid credit and of gifts, and what calls drew on them."""

    def __init__(self, running: dict[tuple[int, str], Draw], draws: dict[tuple[int, str], Draw]) -> None:
        self.running = running
        self.draws = draws
        self.paid = 0
        self.gifts = 0

    def add(self, amount: int, *, paid: bool) -> None:
        self.paid += amount if paid else 0
        self.gifts += 0 if paid else amount

    def take(self, amount: int, disputed: int, *, gifts: bool) -> int:
        """Takes what is there of an amount, paid credit first; gives what there was."""
        free = max(0, min(amount, self.paid + self.gifts - disputed, self.paid + (self.gifts if gifts else 0)))
        paid = min(free, self.paid)
        self.paid -= paid
        self.gifts -= free - paid
        return free


class Payments(LedgerMachine):
    """`disputed`, `taken` (refunds of payments) and `state` of claims, some of which wait, join the model.

    So does what refunds are `owed` by running calls: `waits` is what each of these drew on paid credit, by call and
    lot, and `took` what each refund has got.
    """

    topups = Bundle("topups")
    claims = Bundle("claims")
    told = Bundle("told")

    def __init__(self) -> None:
        super().__init__()
        self.disputed = 0
        self.taken = 0
        self.paid: set[str] = set()
        self.state: dict[str, tuple[Claimed, str]] = {}
        self.told_us: dict[str, int] = {}
        self.refunded: set[str] = set()
        self.took: dict[str, int] = {}
        self.owed: dict[str, int] = {}
        self.owed_us: dict[str, int] = {}
        self.waits: dict[str, dict[tuple[int, str], int]] = {}

    def money(self) -> SqlMoney:
        return SqlMoney(self.anyone())

    def available(self) -> int:
        return super().available() - self.disputed - self.taken - sum(self.owed.values())

    def now_available(self) -> int:
        return self.run(self.storage.balance(self.organization, Mode.LIVE)).available_nanos

    # ---- the model of refunds -----------------------------------------------------------------------------------

    def pot(self, *, dead: bool = False) -> Pot:
        """What is in the ledger before something happens."""
        rows = self.run(self.storage._read(lambda connection: connection.execute(DRAWS).fetchall()))
        draws = {(row[0], row[1]): Draw(*row[2:]) for row in rows}
        pot = Pot({key: draw for key, draw in draws.items() if draw.open}, draws)
        for lot in self.run(self.storage.balance(self.organization, Mode.LIVE)).lots:
            pot.add(lot.remaining_nanos, paid=lot.kind != "promotion")
        if dead:
            for draw in pot.running.values():
                pot.add(draw.amount, paid=draw.paid)
            pot.running.clear()
        return pot

    def about_to_sweep(self, *, dead: bool) -> None:
        if self.owed:
            self.collect(self.pot(dead=dead))

    def collect(self, pot: Pot) -> None:
        """Refunds get what calls that have ended gave back, the oldest first. What was spent is owed no more."""
        back: dict[tuple[int, str], int] = {}
        for claim in sorted(self.owed, key=lambda claim: (self.owed_us[claim], claim)):
            waits, came = self.waits[claim], 0
            for key in [key for key in waits if key not in pot.running]:
                drawn = waits.pop(key)
                part = min(back.setdefault(key, drawn - pot.draws[key].charge), self.owed[claim] - came)
                back[key] -= part
                came += part
            self.owed[claim] = min(self.owed[claim] - came, sum(waits.values()))
            got = pot.take(came, self.disputed, gifts=True)
            self.taken += got
            self.took[claim] += got
            if not self.owed[claim]:
                del self.owed[claim]

    def refund(self, pot: Pot, claim: str, amount: int) -> None:
        """What is free of paid credit goes, what running calls hold of it is owed unless another refund is; no more."""
        self.collect(pot)
        got = pot.take(amount, self.disputed, gifts=False)
        self.taken += got
        self.took[claim] = got
        running = {key: draw.amount for key, draw in pot.running.items() if draw.paid}
        owed = min(amount - got, sum(running.values()) - sum(self.owed.values()))
        if owed > 0:
            self.owed[claim], self.owed_us[claim], self.waits[claim] = owed, self.now_us, running

    def apply(self, pot: Pot, news: Claimed) -> None:
        self.state[news.claim_id] = (news, "applied")
        amount = news.amount_cents * NANOS_PER_CENT
        if news.kind is ClaimKind.DISPUTE:
            self.disputed += amount
        else:
            self.refund(pot, news.claim_id, amount)

    # ---- what happens -------------------------------------------------------------------------------------------

    @initialize(target=topups)
    def begin(self) -> tuple[TopUpOrder, str]:
        """Something is paid from the first step on, so that short walks meet what comes back to it."""
        super().begin()
        topup = self._order(3)
        self._pay(topup)
        return topup

    @rule(target=topups, cents=CENTS)
    def order(self, cents: int) -> tuple[TopUpOrder, str]:
        return self._order(cents)

    def _order(self, cents: int) -> tuple[TopUpOrder, str]:
        order = topup_order(self.organization, cents * NANOS_PER_CENT)
        self.run(self.money().create_topup(order))
        return order, new_id("pi")

    @rule(target=told, topup=topups)
    def pay(self, topup: tuple[TopUpOrder, str]) -> PaymentEvent:
        return self._pay(topup)

    def _pay(self, topup: tuple[TopUpOrder, str]) -> PaymentEvent:
        order, payment = topup
        happened = event(paid(order, payment))
        pot = self.pot()
        verdict = self.run(self.money().take_event(happened))
        if payment in self.paid:
            assert verdict.outcome is Outcome.REPEATED
            return happened
        assert verdict.outcome is Outcome.APPLIED
        self.paid.add(payment)
        self.credited += order.amount_nanos
        pot.add(order.amount_nanos, paid=True)
        waiting = [news for news, state in self.state.values() if (news.payment_id, state) == (payment, "waiting")]
        for news in sorted(waiting, key=lambda news: (self.told_us[news.claim_id] // 1_000_000, news.claim_id)):
            self.apply(pot, news)
        self.run(self.storage.resume_organization(self.organization))
        return happened

    @rule(target=claims, topup=topups, kind=st.sampled_from(list(ClaimKind)), cents=CENTS, end=ENDS)
    def claim(self, topup: tuple[TopUpOrder, str], kind: ClaimKind, cents: int, end: str) -> Claimed:
        news = self._claim(topup, kind, cents, over=end == "never was")
        if end == "reversed":
            self._reverse(news)
        return news

    def _claim(self, topup: tuple[TopUpOrder, str], kind: ClaimKind, cents: int, *, over: bool) -> Claimed:
        news = claimed(kind, topup[1], cents, reversed=over)
        pot = self.pot()
        self.run(self.money().take_event(event(news)))
        self.told_us[news.claim_id] = self.now_us
        if over or topup[1] not in self.paid:
            self.state[news.claim_id] = (news, "reversed" if over else "waiting")
            return news
        self.apply(pot, news)
        if kind is ClaimKind.DISPUTE:
            below = self.available() + sum(self.owed.values()) < 0
            assert self.run(self.storage.find_organization(self.organization)).suspended is below
            self.run(self.storage.resume_organization(self.organization))
        return news

    @rule(news=claims)
    def claim_again(self, news: Claimed) -> None:
        before = self.now_available()
        assert self.run(self.money().take_event(event(news))).outcome is Outcome.REPEATED
        assert self.now_available() == before

    @rule(news=claims)
    def reverse(self, news: Claimed) -> None:
        """The refund fails, or the dispute is won: exactly what it took comes back, once."""
        self._reverse(news)

    def _reverse(self, news: Claimed) -> None:
        over = claimed(news.kind, news.payment_id, news.amount_cents, claim_id=news.claim_id, reversed=True)
        pot = self.pot()
        self.run(self.money().take_event(event(over)))
        _, state = self.state[news.claim_id]
        self.state[news.claim_id] = (news, "reversed")
        if state != "applied":
            return
        if news.kind is ClaimKind.DISPUTE:
            self.disputed -= news.amount_cents * NANOS_PER_CENT
        else:
            self.collect(pot)
            self.taken -= self.took.pop(news.claim_id)
            self.owed.pop(news.claim_id, None)

    @rule(target=LedgerMachine.running, percent=st.sampled_from([30, 60, 90, 100]))
    def hold_much(self, percent: int) -> "MultipleResults[HoldOrder]":
        """So much that little is free for a refund."""
        order = self._hold_much(percent)
        return multiple() if order is None else multiple(order)

    def _hold_much(self, percent: int) -> HoldOrder | None:
        return self.place(amount=max(0, self.now_available()) * percent // 100, fit=100, key=None)

    @rule(
        target=claims,
        percents=st.lists(st.sampled_from([30, 60, 100]), min_size=1, max_size=2),
        cents=st.lists(CENTS, min_size=1, max_size=2),
        charged=st.lists(st.sampled_from([0, 30, 100]), min_size=1, max_size=2),
        swept=st.booleans(),
    )
    def refunds_meet_calls(self, percents: list[int], cents: list[int], charged: list[int], swept: bool) -> Claimed:
        """Calls hold most of what there is, refunds come, some of the calls end: seldom met by chance."""
        topup = self._order(3)
        self._pay(topup)
        calls = [self._hold_much(percent) for percent in percents]
        told = [self._claim(topup, ClaimKind.REFUND, part, over=False) for part in cents]
        for call, percent in zip(calls, charged, strict=False):
            if call is not None:
                self.settle(order=call, percent=percent, keep=False)
            if swept:
                self.sweep()
        return told[0]

    @rule(target=told, topup=topups, cents=st.integers(-2, 3))
    def fee(self, topup: tuple[TopUpOrder, str], cents: int) -> PaymentEvent:
        """What the service keeps, or gives back, is the operator's: the balance never hears of it."""
        fee = Fee(id=new_id("txn"), amount_cents=cents, currency="usd", at=1_795_305_600)
        happened = event(FeeTaken(payment_id=topup[1], fee=fee))
        before = self.now_available()
        expected = Outcome.APPLIED if topup[1] in self.paid else Outcome.WAITING
        assert self.run(self.money().take_event(happened)).outcome is expected
        assert self.now_available() == before
        return happened

    @rule(happened=told)
    def tell_again(self, happened: PaymentEvent) -> None:
        before = self.now_available()
        assert self.run(self.money().take_event(happened)).outcome is Outcome.REPEATED
        assert self.now_available() == before

    @rule(percent=st.integers(1, 100), order=LedgerMachine.ended)
    def refund_call(self, percent: int, order: UsageEvent) -> None:
        request, charge = order.hold_id, order.charge_nanos
        amount = charge * percent // 100
        if not amount or request in self.refunded:
            with pytest.raises(TesseraError):
                self.run(self.money().refund_call(request, amount, "refund"))
            return
        self.run(self.money().refund_call(request, amount, "refund"))
        self.refunded.add(request)
        self.spent -= amount

    @rule(topup=topups)
    def refund_and_fail(self, topup: tuple[TopUpOrder, str]) -> None:
        """A refund of ours that the service refuses leaves no trace in the balance."""
        pot, before = self.pot(), self.now_available()
        try:
            refund = self.run(self.money().begin_refund(topup[0].id, None, "refund"))
        except TesseraError:
            return
        finally:
            assert self.now_available() >= min(before, 0)
        self.collect(pot)
        assert self.available() - self.now_available() == refund.amount_nanos
        for _ in range(2):
            self.run(self.money().fail_refund(refund, "refused"))

    @rule(amount=st.integers(1, 3_000), lifetime_s=st.one_of(st.none(), st.integers(1, 20)))
    def voucher(self, amount: int, lifetime_s: int | None) -> None:
        voucher = Voucher(
            id=new_id("vch"),
            display="",
            mode=Mode.LIVE,
            amount_nanos=amount,
            redemptions_max=1,
            redemptions=0,
            expires_at=None,
            credit_seconds=lifetime_s,
            note="",
            created_at=0,
            revoked_at=None,
        )
        self.run(self.money().create_voucher(voucher, voucher.id))
        self.run(self.money().redeem_voucher(self.organization, Mode.LIVE, voucher.id))
        with pytest.raises(TesseraError):
            self.run(self.money().redeem_voucher(self.organization, Mode.LIVE, voucher.id))
        self.credited += amount


class PaymentsOnTwoReplicas(Payments, TwoReplicas):
    """The same on PostgreSQL, told to two replicas in turn."""


WALK = settings(max_examples=15, stateful_step_count=25, deadline=None)


def test_payments_keep_the_ledger_right_whatever_happens() -> None:
    run_state_machine_as_test(Payments, settings=WALK)


def test_payments_told_to_two_replicas_keep_the_ledger_right(
    postgres: PostgresServer, schema_template: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TwoReplicas, "server", postgres, raising=False)
    monkeypatch.setattr(TwoReplicas, "template", schema_template, raising=False)
    run_state_machine_as_test(PaymentsOnTwoReplicas, settings=WALK)
