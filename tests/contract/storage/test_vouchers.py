"""Vouchers on every database: each is redeemed as often as it says, by nobody twice."""

import asyncio

import pytest

from ledger_calls import funded, new_id
from tessera.adapters.storage.ledger.storage import LedgerStorage
from tessera.adapters.storage.money.store import SqlMoney
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.money import NANOS_PER_USD, Mode
from tessera.domain.payments.records import Voucher
from tessera.ports import Page

pytestmark = pytest.mark.anyio
USD = NANOS_PER_USD
REDEMPTIONS = 500


@pytest.fixture
def money(storage: LedgerStorage) -> SqlMoney:
    return SqlMoney(storage)


async def available(storage: LedgerStorage, organization_id: str) -> int:
    return (await storage.balance(organization_id, Mode.LIVE)).available_nanos


def voucher(amount_nanos: int = USD, **changes: object) -> Voucher:
    fields: dict[str, object] = {
        "id": new_id("vch"),
        "display": "TESS-…",
        "mode": Mode.LIVE,
        "amount_nanos": amount_nanos,
        "redemptions_max": 1,
        "redemptions": 0,
        "expires_at": None,
        "credit_seconds": None,
        "note": "for a test",
        "created_at": 0,
        "revoked_at": None,
    }
    return Voucher(**(fields | changes))  # type: ignore[arg-type]


@pytest.mark.timeout(280)
async def test_five_hundred_redemptions_at_once_of_one_voucher_are_one(storage: LedgerStorage, money: SqlMoney) -> None:
    """T7: by many organizations, each several times."""
    organizations = [await funded(storage, 0) for _ in range(20)]
    await money.create_voucher(voucher(5 * USD), "digest")
    redeeming = (money.redeem_voucher(organizations[i % 20], Mode.LIVE, "digest") for i in range(REDEMPTIONS))
    results = await asyncio.gather(*redeeming, return_exceptions=True)
    refusals = [result for result in results if isinstance(result, TesseraError)]
    assert len(refusals) == REDEMPTIONS - 1
    assert {refusal.code for refusal in refusals} == {ErrorCode.INVALID_REQUEST}
    assert sum([await available(storage, one) for one in organizations]) == 5 * USD


async def test_a_voucher_of_several_uses_is_redeemed_once_by_each_organization(
    storage: LedgerStorage, money: SqlMoney
) -> None:
    await money.create_voucher(voucher(USD, redemptions_max=2, credit_seconds=3600), "digest")
    first, second, third = [await funded(storage, 0) for _ in range(3)]
    lot = await money.redeem_voucher(first, Mode.LIVE, "digest")
    assert (lot.kind, lot.amount_nanos) == ("promotion", USD)
    assert lot.expires_at == lot.created_at + 3600
    for organization, mode in ((first, Mode.LIVE), (second, Mode.TEST)):
        with pytest.raises(TesseraError) as refused:
            await money.redeem_voucher(organization, mode, "digest")
        assert refused.value.code is ErrorCode.INVALID_REQUEST
    await money.redeem_voucher(second, Mode.LIVE, "digest")
    with pytest.raises(TesseraError):
        await money.redeem_voucher(third, Mode.LIVE, "digest")
    (stored,) = await money.list_vouchers(Page(limit=10))
    assert stored.redemptions == 2


async def test_unknown_revoked_and_expired_vouchers_are_refused_alike(storage: LedgerStorage, money: SqlMoney) -> None:
    organization = await funded(storage, 0)
    revoked = await money.create_voucher(voucher(), "revoked")
    await money.create_voucher(voucher(expires_at=1), "expired")
    await money.revoke_voucher(revoked.id)
    messages = set()
    for digest in ("unknown", "revoked", "expired"):
        with pytest.raises(TesseraError) as refused:
            await money.redeem_voucher(organization, Mode.LIVE, digest)
        messages.add(refused.value.message)
    assert len(messages) == 1
    assert await available(storage, organization) == 0
