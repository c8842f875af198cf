"""`verify` finds every edit of what is kept of payments and vouchers; the schema itself refuses the crudest."""

import asyncio
import shutil
import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from ledger_calls import database, faults, funded, hold_order, new_id, usage_event
from payment_events import bought, claimed, event, paid, topup_order
from tessera.adapters.storage.money.audit import MONEY_CHECKS
from tessera.adapters.storage.money.store import SqlMoney
from tessera.adapters.storage.sqlite import SqliteStorage
from tessera.domain.money import NANOS_PER_USD, Mode
from tessera.domain.payments.news import Fee, FeeTaken
from tessera.domain.payments.records import ClaimKind, Voucher

USD = NANOS_PER_USD
DAY_US = 24 * 3600 * 1_000_000


async def fill(data_dir: Path) -> None:
    """Top-ups, a refund and a dispute, a refunded call, a redeemed voucher, tax and a fee, a refund that waits."""
    storage = await SqliteStorage.open(data_dir)
    money = SqlMoney(storage)
    organization = await funded(storage, 0)
    await bought(money, organization, 10 * USD, "pi_1")
    await bought(money, organization, 20 * USD, "pi_2")
    order = hold_order(organization, USD, mode=Mode.LIVE)
    await storage.hold(order)
    await storage.settle(usage_event(order, USD))
    await money.refund_call(order.id, USD // 2, "sorry")
    await money.take_event(event(claimed(ClaimKind.REFUND, "pi_1", 100, claim_id="re_1")))
    await money.take_event(event(claimed(ClaimKind.DISPUTE, "pi_2", 2000, claim_id="dp_1")))
    voucher = Voucher(
        id=new_id("vch"),
        display="TESS-…",
        mode=Mode.LIVE,
        amount_nanos=USD,
        redemptions_max=2,
        redemptions=0,
        expires_at=None,
        credit_seconds=None,
        note="",
        created_at=0,
        revoked_at=None,
    )
    await money.create_voucher(voucher, "digest")
    await money.redeem_voucher(organization, Mode.LIVE, "digest")
    taxed = topup_order(organization, 25 * USD, taxed=True)
    await money.create_topup(taxed)
    await money.take_event(event(paid(taxed, "pi_3", amount_cents=2975, tax_cents=475)))
    fee = Fee(id="txn_1", amount_cents=116, currency="usd", at=1_795_305_600)
    await money.take_event(event(FeeTaken(payment_id="pi_3", fee=fee)))
    await money.take_event(event(claimed(ClaimKind.REFUND, "pi_3", 1190, claim_id="re_3")))
    busy = await funded(storage, 0)
    await bought(money, busy, 5 * USD, "pi_4")
    # Placed tomorrow, so that nobody takes its process for dead however long the tests take.
    await storage.hold(hold_order(busy, 4 * USD, mode=Mode.LIVE, placed_at_us=time.time_ns() // 1000 + DAY_US))
    await money.take_event(event(claimed(ClaimKind.REFUND, "pi_4", 500, claim_id="re_4")))
    assert faults(await storage.verify()) == {}
    await storage.close()


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ledger")
    asyncio.run(fill(folder))
    return folder


@pytest.fixture
def data_dir(filled: Path, tmp_path: Path) -> Path:
    return shutil.copytree(filled, tmp_path / "data")


def tamper(data_dir: Path, *statements: str) -> None:
    """Edits the file past the ledger and past every constraint."""
    with sqlite3.connect(database(data_dir)) as connection:
        connection.execute("PRAGMA ignore_check_constraints = ON")
        for statement in statements:
            connection.execute(statement)
    connection.close()


async def verified(data_dir: Path) -> dict[str, str]:
    storage = await SqliteStorage.open(data_dir)
    try:
        return faults(await storage.verify())
    finally:
        await storage.close()


TAMPERINGS: list[tuple[str, list[str]]] = [
    ("payments-credited-once", ["UPDATE topup SET amount_nanos = amount_nanos * 2 WHERE payment_id = 'pi_1'"]),
    ("payments-credited-once", ["UPDATE topup SET mode = 'test' WHERE payment_id = 'pi_1'"]),
    ("payments-credited-once", ["UPDATE topup SET state = 'open' WHERE payment_id = 'pi_1'"]),
    ("payments-credited-once", ["DROP INDEX topup_payment", "UPDATE topup SET payment_id = 'pi_1'"]),
    ("disputes-equal-movements", ["UPDATE wallet SET disputed_nanos = 0"]),
    ("checkpoints-signed", ["UPDATE wallet SET disputed_nanos = 0"]),
    ("balances-equal-entries", ["UPDATE wallet SET disputed_nanos = disputed_nanos + 1"]),
    ("claims-equal-movements", ["UPDATE payment_claim SET amount_nanos = 1 WHERE id = 're_1'"]),
    ("claims-equal-movements", ["UPDATE payment_claim SET state = 'reversed' WHERE id = 'dp_1'"]),
    ("claims-equal-movements", ["DELETE FROM payment_claim WHERE id = 'dp_1'"]),
    ("disputes-equal-movements", ["UPDATE owed_refund SET left_nanos = left_nanos - 1"]),
    ("balances-equal-entries", ["UPDATE owed_refund SET left_nanos = left_nanos - 1"]),
    ("owed-refunds-equal-movements", ["UPDATE owed_refund SET amount_nanos = amount_nanos + 1"]),
    ("owed-refunds-equal-movements", ["UPDATE owed_draw SET amount_nanos = amount_nanos + 1"]),
    ("owed-refunds-equal-movements", ["DELETE FROM owed_draw"]),
    ("owed-refunds-equal-movements", ["DELETE FROM owed_draw", "DELETE FROM owed_refund"]),
    ("hash-chain", ["UPDATE adjustment SET note = 'a gift' WHERE kind = 'dispute'"]),
    ("hash-chain", ["DELETE FROM adjustment WHERE kind = 'payment_refund'"]),
    ("lots-equal-draws", ["UPDATE adjustment SET amount_nanos = amount_nanos - 1 WHERE kind = 'charge_refund'"]),
    ("taxes-equal-movements", ["UPDATE topup SET tax_nanos = 10000000 WHERE payment_id = 'pi_3'"]),
    ("taxes-equal-movements", ["DELETE FROM adjustment WHERE kind = 'tax'"]),
    ("claims-equal-movements", ["DELETE FROM adjustment WHERE from_account = 'tax'"]),
    ("fees-equal-movements", ["UPDATE payment_fee SET amount_nanos = 1"]),
    ("fees-equal-movements", ["DELETE FROM payment_fee"]),
    ("balances-equal-entries", ["UPDATE wallet SET fees_nanos = 0"]),
    ("balances-equal-entries", ["UPDATE wallet SET tax_nanos = tax_nanos + 1"]),
    ("checkpoints-signed", ["UPDATE wallet SET fees_nanos = fees_nanos - 1"]),
    ("checkpoints-signed", ["UPDATE wallet SET tax_nanos = 0"]),
    ("charge-refunds-within-charges", ["UPDATE charge_refund SET amount_nanos = charge_nanos + 1"]),
    ("charge-refunds-within-charges", ["DELETE FROM charge_refund"]),
    ("vouchers-redeemed-within-bounds", ["UPDATE voucher SET redemptions = 0"]),
    ("vouchers-redeemed-within-bounds", ["DELETE FROM voucher_redemption"]),
    ("vouchers-redeemed-within-bounds", ["UPDATE voucher SET amount_nanos = 5"]),
]


@pytest.mark.anyio
@pytest.mark.parametrize(("check", "statements"), TAMPERINGS, ids=lambda value: value if isinstance(value, str) else "")
async def test_an_edit_is_found(data_dir: Path, check: str, statements: Sequence[str]) -> None:
    tamper(data_dir, *statements)
    assert check in await verified(data_dir)


def test_every_check_of_money_in_and_out_has_an_edit_that_it_finds() -> None:
    assert {name for name, _ in MONEY_CHECKS} <= {check for check, _ in TAMPERINGS}


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE topup SET payment_id = 'pi_1' WHERE payment_id = 'pi_2'",
        "UPDATE topup SET state = 'open' WHERE payment_id = 'pi_2'",
        "UPDATE topup SET lot_id = NULL WHERE payment_id = 'pi_2'",
        "UPDATE topup SET amount_nanos = 1 WHERE payment_id = 'pi_2'",
        "UPDATE charge_refund SET amount_nanos = charge_nanos + 1",
        "UPDATE voucher SET redemptions = redemptions_max + 1",
        "UPDATE wallet SET disputed_nanos = -1",
        "UPDATE wallet SET tax_nanos = -1",
        "UPDATE owed_refund SET left_nanos = amount_nanos + 1",
        "UPDATE owed_refund SET left_nanos = -1",
        "INSERT INTO owed_draw SELECT service, refund_id, hold_number, lot_id, 1 FROM owed_draw",
        "UPDATE topup SET taxed = 0 WHERE payment_id = 'pi_3'",
        "UPDATE topup SET tax_nanos = 1 WHERE payment_id = 'pi_3'",
        "INSERT INTO voucher_redemption SELECT voucher_id, organization_id, lot_id, 0 FROM voucher_redemption",
        "UPDATE adjustment SET amount_nanos = 0",
        "UPDATE automatic_topup SET enabled = 1",
    ],
)
def test_the_schema_itself_refuses_what_must_never_be(data_dir: Path, statement: str) -> None:
    connection = sqlite3.connect(database(data_dir))
    try:
        connection.execute(
            "INSERT INTO automatic_topup (organization_id, mode, changed_at) SELECT id, 'live', 0 FROM organization"
        )
        with pytest.raises(sqlite3.IntegrityError):
            connection.execute(statement)
    finally:
        connection.close()
