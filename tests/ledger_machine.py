"""A random walk over everything that moves money, compared with a plain model and audited after every step.

The audit is invariants I1 to I9; every rule that repeats something is I10.
"""

import asyncio
import shutil
import tempfile
from collections.abc import Coroutine
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
)

from ledger_calls import faults, hold_order, release, stored_reply, usage_event
from made_ledgers import open_ledger
from postgres_server import PostgresServer, fresh_database
from tessera.adapters.storage.ledger.committer import Committer
from tessera.adapters.storage.ledger.storage import LedgerStorage
from tessera.adapters.storage.ledger.writer import Duties, Writer
from tessera.adapters.storage.postgres import PostgresStorage
from tessera.adapters.storage.postgres.machine import PostgresMachine
from tessera.adapters.storage.sqlite import SqliteMachine
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.ledger.orders import HoldOrder
from tessera.domain.money import Mode
from tessera.domain.usage import UsageEvent

T = TypeVar("T")
START_US = 1_800_000_000_000_000
AMOUNTS = st.integers(min_value=0, max_value=1_000)


def undisturbed(committer: Committer, _duties: Duties) -> Writer:
    """A writer without duties: it sweeps when the walk says so, not when the walk has taken ten seconds."""
    return Writer(committer, [])


class LedgerMachine(RuleBasedStateMachine):
    """`credited`, `spent`, `expired` and what is `open` are the model."""

    running = Bundle("running")
    ended = Bundle("ended")

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = Path(tempfile.mkdtemp(prefix="tessera-machine-"))
        self.now_us = START_US
        self.spent = 0
        self.expired = 0
        self.credited = 0
        self.open: dict[str, int] = {}
        self.keys: dict[str, str] = {}
        self.storage = self.run(self.opened())

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    async def opened(self) -> LedgerStorage:
        return await open_ledger(self.folder, machine=SqliteMachine(clock=lambda: self.now_us, writer=undisturbed))

    def anyone(self) -> LedgerStorage:
        """Whoever may settle calls, add credit and look, beside the process that places holds."""
        return self.storage

    @initialize()
    def begin(self) -> None:
        """There is money from the first step on: a walk without any meets nothing but refusals."""
        self.organization = self.run(self.storage.create_organization("acme")).id
        self.credit(amount=2_000, kind="purchase", lifetime_s=None)

    def teardown(self) -> None:
        self.run(self.storage.close())
        self.runner.close()
        shutil.rmtree(self.folder)

    def available(self) -> int:
        return self.credited - self.spent - self.expired - sum(self.open.values())

    def about_to_sweep(self, *, dead: bool) -> None:
        """For walks in which a sweep moves more than credit that expired; `dead` says that all calls end unserved."""

    @rule(
        amount=st.integers(min_value=1, max_value=3_000),
        kind=st.sampled_from(["manual", "purchase", "promotion"]),
        lifetime_s=st.one_of(st.none(), st.integers(min_value=1, max_value=20)),
    )
    def credit(self, amount: int, kind: str, lifetime_s: int | None) -> None:
        expires_at = None if lifetime_s is None else self.now_us // 1_000_000 + lifetime_s
        self.run(
            self.anyone().add_credit(self.organization, Mode.LIVE, amount, kind=kind, note="", expires_at=expires_at)
        )
        self.credited += amount

    @rule(target=running, amount=AMOUNTS, fit=st.integers(0, 100), key=st.sampled_from([None, None, "a", "b"]))
    def hold(self, amount: int, fit: int, key: str | None) -> "MultipleResults[HoldOrder]":
        order = self.place(amount, fit, key)
        return multiple() if order is None else multiple(order)

    @rule(target=ended, amount=AMOUNTS, percent=st.integers(0, 100), key=st.sampled_from([None, "a", "b"]))
    def call(self, amount: int, percent: int, key: str | None) -> "MultipleResults[UsageEvent]":
        """A whole call: what most of a ledger is made of."""
        order = self.place(amount, 100, key)
        return multiple() if order is None else self.settle(order=order, percent=percent, keep=key is not None)

    def place(self, amount: int, fit: int, key: str | None) -> HoldOrder | None:
        order = hold_order(
            self.organization,
            amount,
            amount_min_nanos=amount * fit // 100,
            mode=Mode.LIVE,
            idempotency_key=key,
            owner=self.storage.owner,
            placed_at_us=self.now_us,
        )
        self.count_expired()
        before = self.available()
        try:
            grant = self.run(self.storage.hold(order))
        except TesseraError as error:
            self.check_refusal(error, order, before)
            return None
        if grant.replay is not None:
            assert key is not None
            assert grant.replay.request_id == self.keys[key]
            return None
        assert grant.granted_nanos == min(amount, before)
        assert order.amount_min_nanos <= grant.granted_nanos
        assert self.run(self.storage.hold(order)) == grant, "the same order again is the same grant"
        self.open[order.id] = grant.granted_nanos
        if key is not None:
            self.keys[key] = order.id
        return order

    def check_refusal(self, error: TesseraError, order: HoldOrder, available: int) -> None:
        key, held = order.idempotency_key, sum(self.open.values())
        if error.code is ErrorCode.IDEMPOTENCY_IN_PROGRESS:
            assert key is not None
            assert self.keys[key] in self.open
        elif error.code is ErrorCode.IDEMPOTENCY_MISMATCH:
            assert key is not None
            assert self.keys[key] not in self.open
        else:
            reserved = available + held >= order.amount_min_nanos
            assert available < order.amount_min_nanos
            assert error.code is (ErrorCode.BALANCE_RESERVED if reserved else ErrorCode.INSUFFICIENT_BALANCE)

    @rule(target=ended, order=consumes(running), percent=st.integers(0, 100), keep=st.booleans())
    def settle(self, order: HoldOrder, percent: int, keep: bool) -> "MultipleResults[UsageEvent]":
        if order.id not in self.open:
            return multiple()
        charge = self.open[order.id] * percent // 100
        event = usage_event(order, charge, waived_nanos=percent % 3, loss_nanos=percent % 2)
        if keep and order.idempotency_key is not None:
            event = usage_event(order, charge, reply=stored_reply(order, charge))
        self.run(self.anyone().settle(event))
        del self.open[order.id]
        self.spent += charge
        return multiple(event)

    @rule(order=consumes(running))
    def give_back(self, order: HoldOrder) -> None:
        if order.id in self.open:
            self.run(self.anyone().settle(release(order)))
            del self.open[order.id]

    @rule(event=ended)
    def settle_again(self, event: UsageEvent) -> None:
        self.run(self.anyone().settle(event))

    @rule(event=ended)
    def settle_otherwise(self, event: UsageEvent) -> None:
        with pytest.raises(TesseraError):
            self.run(self.anyone().settle(_altered(event)))

    @rule(seconds=st.integers(min_value=1, max_value=10))
    def time_passes(self, seconds: int) -> None:
        self.now_us += seconds * 1_000_000

    @rule()
    def sweep(self) -> None:
        self.count_expired()
        self.run(self.storage.sweep())

    @precondition(lambda self: self.open or self.spent)
    @rule()
    def restart(self) -> None:
        """The process ends with calls running; the next one gives back what they held."""
        self.about_to_sweep(dead=True)
        self.run(self.storage.close())
        self.storage = self.run(self.opened())
        for hold_id in self.open:
            self.keys = {key: kept for key, kept in self.keys.items() if kept != hold_id}
        self.open.clear()
        self.count_expired()

    def count_expired(self) -> None:
        """What expired is read from the ledger after a sweep and checked against the clock by the lots themselves."""
        self.about_to_sweep(dead=False)
        self.run(self.storage.sweep())
        balance = self.run(self.storage.balance(self.organization, Mode.LIVE))
        assert all(
            lot.remaining_nanos == 0
            for lot in balance.lots
            if lot.expires_at is not None and lot.expires_at <= self.now_us // 1_000_000
        )
        gone = self.available() - balance.available_nanos
        assert gone >= 0
        self.expired += gone

    @invariant()
    def the_ledger_is_right(self) -> None:
        if not hasattr(self, "organization"):
            return
        assert faults(self.run(self.anyone().verify())) == {}
        balance = self.run(self.anyone().balance(self.organization, Mode.LIVE))
        assert balance.held_nanos == sum(self.open.values())
        assert balance.spent_nanos == self.spent
        assert balance.available_nanos == self.available()


class TwoReplicas(LedgerMachine):
    """The same walk on PostgreSQL, with a second replica that settles, credits and audits in turn with the first."""

    server: PostgresServer
    template: str

    def __init__(self) -> None:
        self.database = ExitStack()
        self.url = self.database.enter_context(fresh_database(self.server, template=self.template))
        self.turns = 0
        super().__init__()
        self.other = self.run(self.replica("other"))

    async def replica(self, name: str) -> LedgerStorage:
        secrets = self.folder / "secrets"
        return await PostgresStorage.connect(
            self.url,
            self.folder / name,
            secrets_dir=secrets,
            machine=PostgresMachine(clock=lambda: self.now_us, writer=undisturbed),
            monotonic=lambda: 0.0,
        )

    async def opened(self) -> LedgerStorage:
        return await self.replica("own")

    def anyone(self) -> LedgerStorage:
        self.turns += 1
        return self.other if self.turns % 3 else self.storage

    def teardown(self) -> None:
        self.run(self.other.close())
        super().teardown()
        self.database.close()


def _altered(event: UsageEvent) -> UsageEvent:
    return msgspec.structs.replace(event, latency_ms=event.latency_ms + 1)
