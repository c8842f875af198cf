"""Stripe's fees and the tax its pages collect, over HTTP: net is credit, tax is owed, fees are the operator's."""

import csv
import io
import json
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


def fee_of(shop: Shop, topup: dict[str, Any]) -> int:
    """What the operator's list has as a top-up's fee."""
    listed, _ = command(shop, "topups", "list")
    return int(next(one["fee_nanos"] for one in listed if one["id"] == topup["id"]))


def wait_for_fee(shop: Shop, topup: dict[str, Any]) -> int:
    deadline = time.monotonic() + WAIT_SECONDS_MAX
    while not fee_of(shop, topup):
        assert time.monotonic() < deadline, "its fee was not booked"
        time.sleep(0.2)
    return fee_of(shop, topup)


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
    assert wait_for_fee(taxing, topup) == fee * 10_000_000
    taxing.stripe.send(taxing.server, "refund.created", taxing.stripe.refund(payment["id"], 2975))
    entries = taxing.call(account, "GET", "/v1/ledger").json["data"]
    assert [entry["amount_nanos"] for entry in entries if entry["account"] == "fees"] == [-fee * 10_000_000]
    assert "fee" not in taxing.show(account, topup), "what Stripe keeps is the operator's business"


def test_a_fee_that_is_known_later_is_told_by_charge_updated(taxing: Shop) -> None:
    account = taxing.account()
    taxing.stripe.knows_fees = False
    topup, payment = taxing.bought(account, "25.00")
    taxing.stripe.knows_fees = True
    time.sleep(2)
    assert fee_of(taxing, topup) == 0
    charge = taxing.stripe.learn_fee(payment)
    told = charge | {"balance_transaction": charge["balance_transaction"]["id"]}
    assert taxing.stripe.send(taxing.server, "charge.updated", told).json["outcome"] == "applied"
    assert wait_for_fee(taxing, topup) > 0
    assert taxing.stripe.send(taxing.server, "charge.updated", told).json["outcome"] == "ignored"


def test_a_disputes_fee_is_booked_with_it_and_margins_show_what_was_kept(taxing: Shop) -> None:
    account = taxing.account()
    topup, payment = taxing.bought(account, "25.00")
    kept = wait_for_fee(taxing, topup)
    dispute = taxing.stripe.dispute(payment["id"], 2975)
    assert taxing.stripe.send(taxing.server, "charge.dispute.created", dispute).json["outcome"] == "applied"
    assert fee_of(taxing, topup) == kept + 15 * 10**9
    found, _ = command(taxing, "margins", "--by", "organization", "--mode", "live")
    (line,) = [line for line in found["data"] if line["organization_id"] == account.organization_id]
    assert (line["fee_nanos"], line["margin_nanos"]) == (kept + 15 * 10**9, -kept - 15 * 10**9)
    assert found["total"]["fee_nanos"] >= line["fee_nanos"]


def test_a_comparison_credits_what_no_webhook_told_and_names_fees_and_taxes_that_differ(tmp_path: Any) -> None:
    for shop in running_shop(tmp_path, "automatic_tax = true"):
        account = shop.account()
        missed = shop.topup(account, "25.00")
        shop.stripe.pay(shop.session_of(missed))
        bought, payment = shop.bought(account, "25.00")
        found, code = command(shop, "reconcile", "--payments", check=False)
        live = next(one for one in found if one["mode"] == "live")
        assert (code, len([line for line in live["missed"] if "credited $25.00" in line])) == (1, 1)
        assert (live["drift"], shop.available(account), shop.show(account, missed)["tax"]) == ([], "50.00", "4.75")
        found, code = command(shop, "reconcile", "--payments", check=False)
        assert (code, [one["missed"] for one in found]) == (0, [[], []])
        charge = shop.stripe.charges[payment["latest_charge"]]
        known = charge["balance_transaction"]
        session = shop.session_of(bought)
        for fee, tax, words in (
            (known | {"fee": 1}, 475, "it was taken as $1.16"),
            (known, 470, "its tax is 470 cents, $4.75 was booked"),
            (known | {"id": "txn_x"}, 475, "stripe knows no such fee"),
        ):
            charge["balance_transaction"], session["total_details"] = fee, {"amount_tax": tax}
            found, code = command(shop, "reconcile", "--payments", check=False)
            drift = [line for one in found for line in one["drift"]]
            assert (code, any(words in line for line in drift)) == (1, True), drift
