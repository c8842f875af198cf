"""More wallets than are remembered: a group that touches one of them twice moves it twice."""

import pytest

from ledger_calls import commit_together, funded, hold_order, usage_event
from tessera.adapters.storage.ledger import books
from tessera.adapters.storage.ledger.storage import LedgerStorage
from tessera.domain.ledger.orders import HoldGrant
from tessera.domain.money import Mode

pytestmark = pytest.mark.anyio
WALLETS = 5


@pytest.mark.parametrize("kept_max", [1, WALLETS - 1, WALLETS])
async def test_each_call_of_a_group_is_held_and_charged_however_few_wallets_are_remembered(
    storage: LedgerStorage, monkeypatch: pytest.MonkeyPatch, kept_max: int
) -> None:
    monkeypatch.setattr(books, "CACHED_WALLETS_MAX", kept_max)
    organizations = [await funded(storage, 100) for _ in range(WALLETS)]
    orders = [hold_order(one, 30, mode=Mode.LIVE, owner=storage.owner) for _ in range(3) for one in organizations]
    assert await commit_together(storage, [*orders]) == [HoldGrant(granted_nanos=30)] * len(orders)
    balances = [await storage.balance(one, Mode.LIVE) for one in organizations]
    assert {(one.available_nanos, one.held_nanos) for one in balances} == {(10, 90)}
    assert await commit_together(storage, [usage_event(order, 20) for order in orders]) == [None] * len(orders)
    balances = [await storage.balance(one, Mode.LIVE) for one in organizations]
    assert {(one.available_nanos, one.held_nanos, one.spent_nanos) for one in balances} == {(40, 0, 60)}
    assert len(storage._committer.books._books) <= kept_max
