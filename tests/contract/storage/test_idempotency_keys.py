"""Idempotency keys: one call and one charge, whatever is repeated."""

import asyncio

import msgspec
import pytest

from ledger_calls import funded, hold_order, new_id, release, stored_reply, usage_event
from tessera.adapters.storage.ledger.storage import LedgerStorage
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.ledger.idempotency import KeyOrder
from tessera.domain.ledger.orders import HoldGrant, HoldOrder
from tessera.domain.money import Mode

pytestmark = pytest.mark.anyio


def keyed(organization: str, **changes: object) -> HoldOrder:
    return hold_order(organization, 40, **({"mode": Mode.LIVE, "idempotency_key": "key-1"} | changes))


def key_order(order: HoldOrder, **changes: object) -> KeyOrder:
    """The question what the order's key was used for."""
    fields = {name: getattr(order, name) for name in KeyOrder.__struct_fields__}
    return KeyOrder(**{**fields, **changes})


async def test_a_key_is_asked_after_without_holding_anything(storage: LedgerStorage) -> None:
    organization = await funded(storage, 100)
    order = keyed(organization)
    assert await storage.find_repeat(key_order(order)) is None
    await storage.hold(order)
    with pytest.raises(TesseraError) as caught:
        await storage.find_repeat(key_order(order))
    assert caught.value.code is ErrorCode.IDEMPOTENCY_IN_PROGRESS
    with pytest.raises(TesseraError) as caught:
        await storage.find_repeat(key_order(order, fingerprint=b"o" * 32))
    assert caught.value.code is ErrorCode.IDEMPOTENCY_MISMATCH
    assert await storage.find_repeat(key_order(order, mode=Mode.TEST)) is None
    assert (await storage.balance(organization, Mode.LIVE)).held_nanos == 40


async def refused(storage: LedgerStorage, order: HoldOrder) -> TesseraError:
    with pytest.raises(TesseraError) as caught:
        await storage.hold(order)
    return caught.value


async def test_another_body_under_the_same_key_is_a_mismatch(storage: LedgerStorage) -> None:
    organization = await funded(storage, 100)
    await storage.hold(keyed(organization))
    error = await refused(storage, keyed(organization, fingerprint=b"o" * 32))
    assert (error.code, error.should_retry) == (ErrorCode.IDEMPOTENCY_MISMATCH, False)


async def test_a_running_call_answers_in_progress_and_holds_once(storage: LedgerStorage) -> None:
    organization = await funded(storage, 100)
    await storage.hold(keyed(organization))
    error = await refused(storage, keyed(organization))
    assert (error.code, error.retry_after_s) == (ErrorCode.IDEMPOTENCY_IN_PROGRESS, 1)
    assert (await storage.balance(organization, Mode.LIVE)).held_nanos == 40


async def test_of_many_at_once_one_runs(storage: LedgerStorage) -> None:
    organization = await funded(storage, 10_000)
    answers = await asyncio.gather(*(storage.hold(keyed(organization)) for _ in range(50)), return_exceptions=True)
    assert [answer for answer in answers if isinstance(answer, HoldGrant)] == [HoldGrant(granted_nanos=40)]
    codes = {answer.code for answer in answers if isinstance(answer, TesseraError)}
    assert codes == {ErrorCode.IDEMPOTENCY_IN_PROGRESS}


async def test_a_finished_call_is_replayed_with_its_own_request_id_and_charge(storage: LedgerStorage) -> None:
    organization = await funded(storage, 100)
    order = keyed(organization)
    await storage.hold(order)
    reply = stored_reply(order, 25)
    await storage.settle(usage_event(order, 25, reply=reply))
    for _ in range(3):
        assert await storage.hold(keyed(organization)) == HoldGrant(granted_nanos=40, replay=reply)
        assert await storage.find_repeat(key_order(order)) == HoldGrant(granted_nanos=40, replay=reply)
    assert (await storage.balance(organization, Mode.LIVE)).available_nanos == 75


async def test_an_error_reply_is_replayed_too(storage: LedgerStorage) -> None:
    organization = await funded(storage, 100)
    order = keyed(organization)
    await storage.hold(order)
    reply = msgspec.structs.replace(stored_reply(order, 0), status=502, body=b'{"error":{}}')
    await storage.settle(release(order, reply=reply))
    assert (await storage.hold(keyed(organization))).replay == reply


async def test_a_reply_that_was_not_kept_is_an_error_that_names_request_and_charge(storage: LedgerStorage) -> None:
    organization = await funded(storage, 100)
    order = keyed(organization)
    await storage.hold(order)
    await storage.settle(usage_event(order, 25))
    error = await refused(storage, keyed(organization))
    assert error.should_retry is False
    assert error.details == {"request_id": order.id, "charge": "0.000000025", "charge_nanos": 25}


async def test_a_refused_hold_leaves_its_key_free(storage: LedgerStorage) -> None:
    organization = await funded(storage, 39)
    assert (await refused(storage, keyed(organization))).code is ErrorCode.INSUFFICIENT_BALANCE
    await storage.add_credit(organization, Mode.LIVE, 1, kind="manual", note="")
    assert await storage.hold(keyed(organization, fingerprint=b"o" * 32)) == HoldGrant(granted_nanos=40)


async def test_keys_are_scoped_to_organization_and_mode(storage: LedgerStorage) -> None:
    one, other = await funded(storage, 100), await funded(storage, 100)
    orders = [keyed(one), keyed(other), keyed(one, mode=Mode.TEST)]
    assert [await storage.hold(order) for order in orders] == [HoldGrant(granted_nanos=40)] * 3


async def test_the_same_order_again_gets_the_same_grant(storage: LedgerStorage) -> None:
    """A caller whose answer was lost asks again with the id it made."""
    organization = await funded(storage, 100)
    order = keyed(organization)
    assert await storage.hold(order) == await storage.hold(order) == HoldGrant(granted_nanos=40)
    assert (await refused(storage, keyed(organization, id=new_id()))).code is ErrorCode.IDEMPOTENCY_IN_PROGRESS
