"""The random walk over the ledger with payments: top-ups, fees, refunds, disputes, vouchers, in any order, repeated."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, initialize, rule, run_state_machine_as_test

from ledger_calls import new_id
from ledger_machine import LedgerMachine, TwoReplicas
from payment_events import claimed, event, paid, topup_order
from postgres_server import PostgresServer
from tessera.adapters.storage.money.store import SqlMoney
from tessera.domain.errors import TesseraError
from tessera.domain.money import Mode
from tessera.domain.payments.news import Claimed, Fee, FeeTaken, Outcome, PaymentEvent
from tessera.domain.payments.records import NANOS_PER_CENT, ClaimKind, TopUpOrder, Voucher

ENDS = st.sampled_from(["open", "reversed", "never was"])
CENTS = st.integers(min_value=1, max_value=3)


class Payments(LedgerMachine):
    """`disputed`, `taken` (refunds of payments) and `state` of claims, some of which wait, join the model."""

    topups = Bundle("topups")
    claims = Bundle("claims")
    told = Bundle("told")

    def __init__(self) -> None:
        super().__init__()
        self.disputed = 0
        self.taken = 0
        self.paid: set[str] = set()
        self.state: dict[str, tuple[Claimed, str]] = {}
        self.refunded: set[str] = set()
        self.took: dict[str, int] = {}

    def money(self) -> SqlMoney:
        return SqlMoney(self.anyone())

    def available(self) -> int:
        return super().available() - self.disputed - self.taken

    def now_available(self) -> int:
        return self.run(self.storage.balance(self.organization, Mode.LIVE)).available_nanos

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
        before = self.now_available()
        verdict = self.run(self.money().take_event(happened))
        if payment in self.paid:
            assert verdict.outcome is Outcome.REPEATED
            assert self.now_available() == before
            return happened
        assert verdict.outcome is Outcome.APPLIED
        self.paid.add(payment)
        self.credited += order.amount_nanos
        waiting = [
            claim
            for claim, (news, state) in self.state.items()
            if (news.payment_id, news.kind, state) == (payment, ClaimKind.REFUND, "waiting")
        ]
        after = before + order.amount_nanos
        for claim, (news, state) in self.state.items():
            if news.payment_id == payment and state == "waiting":
                self.state[claim] = (news, "applied")
                if news.kind is ClaimKind.DISPUTE:
                    self.disputed += news.amount_cents * NANOS_PER_CENT
                    after -= news.amount_cents * NANOS_PER_CENT
        gone = after - self.now_available()
        assert gone >= 0
        self.taken += gone
        if len(waiting) == 1:
            self.took[waiting[0]] = gone
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
        before = self.now_available()
        self.run(self.money().take_event(event(news)))
        gone = before - self.now_available()
        if over or topup[1] not in self.paid:
            assert gone == 0
            self.state[news.claim_id] = (news, "reversed" if over else "waiting")
            return news
        self.state[news.claim_id] = (news, "applied")
        if kind is ClaimKind.DISPUTE:
            assert gone == cents * NANOS_PER_CENT
            self.disputed += gone
            assert self.run(self.storage.find_organization(self.organization)).suspended is (before - gone < 0)
            self.run(self.storage.resume_organization(self.organization))
        else:
            assert 0 <= gone <= cents * NANOS_PER_CENT
            assert before - gone >= min(before, 0), "only a dispute goes below zero"
            self.taken += gone
            self.took[news.claim_id] = gone
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
        before = self.now_available()
        self.run(self.money().take_event(event(over)))
        back = self.now_available() - before
        _, state = self.state[news.claim_id]
        self.state[news.claim_id] = (news, "reversed")
        assert back >= 0
        if state != "applied":
            assert back == 0
        elif news.kind is ClaimKind.DISPUTE:
            assert back == news.amount_cents * NANOS_PER_CENT
            self.disputed -= back
        else:
            assert back == self.took.get(news.claim_id, back)
            self.taken -= back

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
    def refund_call(self, percent: int, order: object) -> None:
        if order is None:
            return
        request, charge = order.hold_id, order.charge_nanos  # type: ignore[attr-defined]
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
        before = self.now_available()
        try:
            refund = self.run(self.money().begin_refund(topup[0].id, None, "refund"))
        except TesseraError:
            return
        finally:
            assert self.now_available() >= min(before, 0)
        assert before - self.now_available() == refund.amount_nanos
        for _ in range(2):
            self.run(self.money().fail_refund(refund, "refused"))
        assert self.now_available() == before

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
