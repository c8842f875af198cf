"""Stripe's fees and the tax its pages collect, over HTTP: net is credit, tax is owed, fees are the operator's."""

import csv
import io
import json
import sqlite3
import time
from collections.abc import Iterator
from typing import Any

import pytest

from payment_documents import fetch, month, text_of
from payment_servers import WAIT_SECONDS_MAX, Shop, running_shop
from servers import tessera

TAX_AND_FEES = "automatic_tax = true\nautomatic_seconds = 1"


@pytest.fixture(scope="module")
def taxing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """A server whose pages collect tax, and which asks for fees every second."""
    yield from running_shop(tmp_path_factory.mktemp("taxing"), TAX_AND_FEES)


def command(shop: Shop, *arguments: str, check: bool = True) -> Any:
    """A command on the shop's data; its JSON and its exit code."""
    config = str(shop.server.data_dir.parent / "tessera.toml")
    place = ("--config", config, "--data", str(shop.server.data_dir), "--json")
    done = tessera(*arguments, *place, check=check, env=shop.stripe.environment())
    return json.loads(done.stdout), done.returncode


def fee_of(shop: Shop, payment: dict[str, Any]) -> int:
    """What the ledger has as a payment's fees, as the database file has it."""
    with sqlite3.connect(f"file:{shop.server.data_dir / 'tessera.db'}?mode=ro", uri=True) as connection:
        sql = "SELECT coalesce(sum(amount_nanos), 0) FROM payment_fee WHERE payment_id = ? AND state = 'booked'"
        (found,) = connection.execute(sql, (payment["id"],)).fetchone()
    connection.close()
    return int(found)


def wait_for_fee(shop: Shop, payment: dict[str, Any]) -> int:
    deadline = time.monotonic() + WAIT_SECONDS_MAX
    while not fee_of(shop, payment):
        assert time.monotonic() < deadline, "its fee was not booked"
        time.sleep(0.05)
    return fee_of(shop, payment)


def test_tax_is_collected_beside_the_credit_and_shown_in_every_form(taxing: Shop) -> None:
    account = taxing.account()
    opened = taxing.topup(account, "25.00")
    session = taxing.session_of(opened)
    assert (session["automatic_tax"]["enabled"], session["tax_behavior"]) == (True, "exclusive")
    assert (opened["amount"], opened["tax"], opened["total"]) == ("25.00", None, None)
    payment = taxing.stripe.pay(session)
    first = taxing.stripe.send(taxing.server, "payment_intent.succeeded", payment)
    assert (first.json["outcome"], taxing.available(account)) == ("ignored", "0.00"), "only the page knows the tax"
    assert taxing.stripe.send(taxing.server, "checkout.session.completed", session).json["outcome"] == "applied"
    topup = taxing.show(account, opened)
    assert (topup["amount"], topup["tax"], topup["total"]) == ("25.00", "4.75", "29.75")
    assert taxing.available(account) == "25.00"
    path = f"/v1/topups/{topup['id']}/receipt"
    facts = taxing.call(account, "GET", path).json["facts"]
    shown = {"Net, credited (USD)": "25.00", "Tax (USD)": "4.75", "Total (USD)": "29.75"}
    assert {name: facts[name] for name in shown} == shown
    statement = taxing.call(account, "GET", f"/v1/statements/{month()}").json
    assert (statement["tax"], statement["closing"]) == ("4.75", "25.00")
    assert [(line["kind"], line["amount"], line["tax"], line["total"]) for line in statement["movements"]] == [
        ("purchase", "25.00", "0.00", "25.00"),
        ("tax", "0.00", "4.75", "4.75"),
    ]
    for file, figures in ((path, ("25.00", "4.75", "29.75")), (f"/v1/statements/{month()}", ("25.00", "4.75"))):
        _, content = fetch(taxing, account, f"{file}?format=csv")
        cells = {cell for row in csv.reader(io.StringIO(content.decode())) for cell in row}
        _, printed = fetch(taxing, account, f"{file}?format=pdf")
        for figure in figures:
            assert figure in cells
            assert figure in text_of(printed)


def test_a_refund_of_credit_sends_its_tax_back_with_it(taxing: Shop) -> None:
    account = taxing.account()
    topup, payment = taxing.bought(account, "25.00")
    refund, _ = command(taxing, "topups", "refund", topup["id"], "--amount", "10.00")
    assert (refund["amount"], refund["tax"]) == ("11.90", "1.90")
    (sent,) = [one for one in taxing.stripe.refunds if one["payment_intent"] == payment["id"]]
    assert sent["amount"] == 1190
    assert taxing.available(account) == "15.00"
    taxing.stripe.send(taxing.server, "refund.created", taxing.stripe.refund(payment["id"], 1785))
    shown = taxing.show(account, topup)
    assert (taxing.available(account), shown["refunded"], shown["returned_tax"]) == ("0.00", "29.75", "4.75")


def test_a_fee_is_booked_by_itself_and_stays_when_the_payment_is_refunded(taxing: Shop) -> None:
    account = taxing.account()
    topup, payment = taxing.bought(account, "25.00")
    fee = 2975 * 29 // 1000 + 30
    assert wait_for_fee(taxing, payment) == fee * 10_000_000
    taxing.stripe.send(taxing.server, "refund.created", taxing.stripe.refund(payment["id"], 2975))
    entries = taxing.call(account, "GET", "/v1/ledger").json["data"]
    assert [entry["amount_nanos"] for entry in entries if entry["account"] == "fees"] == [-fee * 10_000_000]
    assert "fee" not in taxing.show(account, topup), "what Stripe keeps is the operator's business"


def test_a_fee_that_is_known_later_is_told_by_charge_updated(taxing: Shop) -> None:
    account = taxing.account()
    taxing.stripe.knows_fees = False
    _, payment = taxing.bought(account, "25.00")
    taxing.stripe.knows_fees = True
    deadline = time.monotonic() + WAIT_SECONDS_MAX
    while ("GET", f"/v1/payment_intents/{payment['id']}", None) not in taxing.stripe.asked:
        assert time.monotonic() < deadline, "its fee was never asked for"
        time.sleep(0.05)
    assert fee_of(taxing, payment) == 0
    charge = taxing.stripe.learn_fee(payment)
    told = charge | {"balance_transaction": charge["balance_transaction"]["id"]}
    assert taxing.stripe.send(taxing.server, "charge.updated", told).json["outcome"] == "applied"
    assert wait_for_fee(taxing, payment) > 0
    assert taxing.stripe.send(taxing.server, "charge.updated", told).json["outcome"] == "ignored"


def test_a_disputes_fee_is_booked_with_it_and_margins_show_what_was_kept(taxing: Shop) -> None:
    account = taxing.account()
    topup, payment = taxing.bought(account, "25.00")
    kept = wait_for_fee(taxing, payment)
    dispute = taxing.stripe.dispute(payment["id"], 2975)
    assert taxing.stripe.send(taxing.server, "charge.dispute.created", dispute).json["outcome"] == "applied"
    assert fee_of(taxing, payment) == kept + 15 * 10**9
    listed, _ = command(taxing, "topups", "list")
    assert [one["fee_nanos"] for one in listed if one["id"] == topup["id"]] == [kept + 15 * 10**9]
    found, _ = command(taxing, "margins", "--by", "organization", "--mode", "live")
    (line,) = [line for line in found["data"] if line["organization_id"] == account.organization_id]
    assert (line["fee_nanos"], line["margin_nanos"]) == (kept + 15 * 10**9, -kept - 15 * 10**9)
    assert found["total"]["fee_nanos"] >= line["fee_nanos"]


def test_a_comparison_credits_what_no_webhook_told_and_names_fees_and_taxes_that_differ(taxing: Shop) -> None:
    account = taxing.account()
    missed = taxing.topup(account, "25.00")
    taxing.stripe.pay(taxing.session_of(missed))
    (bought, payment), (_, other) = taxing.bought(account, "25.00"), taxing.bought(account, "25.00")

    def compared() -> tuple[list[str], list[str], int]:
        found, code = command(taxing, "reconcile", "--payments", check=False)
        return [line for one in found for line in one["missed"]], [line for one in found for line in one["drift"]], code

    applied, drift, code = compared()
    assert (code, len([line for line in applied if "credited $25.00" in line]), drift) == (1, 1, [])
    assert (taxing.available(account), taxing.show(account, missed)["tax"]) == ("75.00", "4.75")
    assert compared() == ([], [], 0)
    fees = [taxing.stripe.charges[one["latest_charge"]] for one in (payment, other)]
    session = taxing.session_of(bought)
    honest = [fee["balance_transaction"] for fee in fees], session["total_details"]
    fees[0]["balance_transaction"] = honest[0][0] | {"fee": 1}
    fees[1]["balance_transaction"] = honest[0][1] | {"id": "txn_x"}
    session["total_details"] = {"amount_tax": 470}
    applied, drift, code = compared()
    for words in ("it was taken as $1.16", "its tax is 470 cents, $4.75 was booked", "stripe knows no such fee"):
        assert any(words in line for line in drift), drift
    assert (code, [line for line in applied if "the fee txn_x" in line] != []) == (1, True)
