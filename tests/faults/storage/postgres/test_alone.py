"""A replica that is alone does not lock beforehand, and decides on nothing that is no longer so."""

import pytest

from faults.storage.postgres.conftest import Replica
from ledger_calls import funded, hold_order, usage_event
from tcp_proxy import TcpProxy
from tessera.adapters.storage.postgres import PostgresMachine, PostgresStorage
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.ledger.orders import HoldGrant
from tessera.domain.money import Mode

pytestmark = pytest.mark.anyio
ALONE = PostgresMachine(undisturbed_min=0)
"""Always believes that it is alone."""


async def call(storage: PostgresStorage, organization: str, amount: int = 10) -> None:
    order = hold_order(organization, amount, mode=Mode.LIVE, owner=storage.owner)
    await storage.hold(order)
    await storage.settle(usage_event(order, amount))


async def test_a_replica_that_stayed_alone_sends_one_message_for_a_group(
    replica: Replica, proxy: TcpProxy, proxied: str
) -> None:
    storage = await replica(url=proxied)
    organization = await funded(storage, 1000)
    sent: list[bytes] = []
    proxy.watch = lambda piece: sent.append(piece) or True  # type: ignore[func-returns-value]
    await call(storage, organization)
    assert any(b"lock_wallets" in piece for piece in sent)
    for _ in range(10):
        await call(storage, organization)
    sent.clear()
    for _ in range(5):
        await call(storage, organization)
    assert sent
    assert not [piece for piece in sent if b"lock_wallets" in piece or b"COMMIT" in piece or b"BEGIN" in piece]


async def test_money_another_replica_added_is_seen_before_a_call_is_refused(replica: Replica) -> None:
    alone, other = await replica(machine=ALONE), await replica()
    organization = await funded(alone, 10)
    await call(alone, organization)
    await other.add_credit(organization, Mode.LIVE, 10, kind="manual", note="")
    await call(alone, organization)
    with pytest.raises(TesseraError):
        await call(alone, organization)


async def test_money_another_replica_holds_is_not_granted_again(replica: Replica) -> None:
    alone, other = await replica(machine=ALONE), await replica(machine=ALONE)
    organization = await funded(alone, 20)
    await call(alone, organization, 1)
    granted = await other.hold(hold_order(organization, 19, mode=Mode.LIVE, owner=other.owner))
    assert granted == HoldGrant(granted_nanos=19)
    with pytest.raises(TesseraError) as refused:
        await alone.hold(hold_order(organization, 1, mode=Mode.LIVE, owner=alone.owner))
    assert refused.value.code is ErrorCode.BALANCE_RESERVED


async def test_an_organization_another_replica_suspended_gets_no_hold(replica: Replica) -> None:
    alone, other = await replica(machine=ALONE), await replica()
    organization = await funded(alone, 20)
    await call(alone, organization)
    await other.suspend_organization(organization)
    with pytest.raises(TesseraError) as refused:
        await call(alone, organization)
    assert refused.value.code is ErrorCode.ORGANIZATION_SUSPENDED
