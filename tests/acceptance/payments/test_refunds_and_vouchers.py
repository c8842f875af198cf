"""What an operator gives and takes back at the command line, and what customers see of it."""

import json
import sqlite3
from typing import Any

import pytest

from payment_servers import Shop
from servers import Account, tessera

CALL = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 50}


def run(shop: Shop, *arguments: str, check: bool = True) -> Any:
    """A command on the shop's data with its settings; its JSON, or its exit code and words when it fails."""
    config = str(shop.server.data_dir.parent / "tessera.toml")
    done = tessera(
        *arguments,
        *("--config", config, "--data", str(shop.server.data_dir), "--json"),
        check=check,
        env=shop.stripe.environment(),
    )
    return json.loads(done.stdout) if done.returncode == 0 else (done.returncode, done.stderr)


MADE_BY = ("organization.created", "api_key.created", "credit.added")
"""How the operator made the account that a test uses."""


def acts_of(shop: Shop, scope: str) -> list[tuple[str, str]]:
    """What the audit log has of an organization, or of the installation, beside how it was made."""
    with sqlite3.connect(f"file:{shop.server.data_dir / 'tessera.db'}?mode=ro", uri=True) as connection:
        rows = connection.execute("SELECT action, object_id FROM audit_event WHERE scope = ? ORDER BY seq", (scope,))
        found = rows.fetchall()
    connection.close()
    return [row for row in found if row[0] not in MADE_BY]


def test_a_calls_charge_is_refunded_once(shop: Shop) -> None:
    account = shop.account("test")
    reply = shop.call(account, "POST", "/v1/chat/completions", CALL)
    charge = reply.json["usage"]["charge_nanos"]
    request = reply.headers["x-request-id"]
    assert charge > 0
    assert shop.call(account, "GET", f"/v1/requests/{request}").json["refunded_nanos"] == 0
    refund = run(shop, "refund", request, "--note", "sorry")
    assert (refund["amount_nanos"], refund["organization"]) == (charge, account.organization_id)
    assert shop.available(account) == "100.00"
    assert acts_of(shop, account.organization_id) == [("charge.refunded", request)]
    code, words = run(shop, "refund", request, check=False)
    assert (code, "refunded before" in words) == (1, True)
    kinds = {entry["kind"]: entry["request_id"] for entry in shop.call(account, "GET", "/v1/ledger").json["data"]}
    assert kinds["charge_refund"] == request
    receipt = shop.call(account, "GET", f"/v1/requests/{request}").json
    assert (receipt["refunded"], receipt["refunded_nanos"]) == (receipt["charge"]["amount"], charge)
    assert shop.call(account, "GET", "/v1/requests").json["data"] == [receipt]


def test_a_payment_is_refunded_to_the_card_and_its_webhook_moves_nothing_more(shop: Shop) -> None:
    account = shop.account()
    topup, payment = shop.bought(account, "25.00")
    refund = run(shop, "topups", "refund", topup["id"], "--amount", "10.00")
    (sent,) = [one for one in shop.stripe.refunds if one["payment_intent"] == payment["id"]]
    assert (sent["amount"], sent["metadata"]["tessera_refund"]) == (1000, refund["id"])
    assert shop.available(account) == "15.00"
    for kind in ("refund.created", "refund.updated"):
        assert shop.stripe.send(shop.server, kind, sent).json["outcome"] == "repeated"
    assert shop.available(account) == "15.00"
    assert shop.show(account, topup)["refunded"] == "10.00"
    sent["status"] = "failed"
    assert shop.stripe.send(shop.server, "refund.failed", sent).json["outcome"] == "applied"
    assert shop.available(account) == "25.00"


def test_a_refund_that_stripe_refuses_or_that_was_spent_changes_nothing(shop: Shop) -> None:
    account = shop.account()
    topup, _ = shop.bought(account, "25.00")
    assert run(shop, "topups", "refund", topup["id"], "--amount", "25.01", check=False)[0] == 1
    assert run(shop, "topups", "refund", topup["id"], "--amount", "0.001", check=False)[0] == 1
    shop.stripe.refuses_refunds = True
    code, words = run(shop, "topups", "refund", topup["id"], check=False)
    shop.stripe.refuses_refunds = False
    assert (code, "disputed" in words) == (1, True)
    assert shop.available(account) == "25.00"


def test_a_voucher_is_made_redeemed_and_revoked(shop: Shop) -> None:
    made = run(shop, "vouchers", "create", "--amount", "7.50", "--uses", "2", "--credit-days", "30", "--note", "fair")
    first, second, third = shop.account(), shop.account(), shop.account()
    messy = made["code"].lower().replace("-", " ")

    def redeem(account: Account, code: str) -> Any:
        return shop.call(account, "POST", "/v1/vouchers/redeem", {"code": code})

    redeemed = redeem(first, messy)
    assert (redeemed.status, redeemed.json["amount"]) == (200, "7.50")
    assert redeemed.json["expires_at"] == redeemed.json["created_at"] + 30 * 86_400
    assert shop.available(first) == "7.50"
    again = redeem(first, made["code"])
    assert (again.status, again.code) == (400, "invalid_request")
    wrong_mode = redeem(shop.account("test"), made["code"])
    assert (wrong_mode.status, "live key" in wrong_mode.json["error"]["message"]) == (400, True)
    assert acts_of(shop, "instance")[-1] == ("voucher.created", made["id"])
    (listed,) = [one for one in run(shop, "vouchers", "list") if one["id"] == made["id"]]
    assert (listed["redemptions"], made["code"] in json.dumps(listed)) == (1, False)
    run(shop, "vouchers", "revoke", made["id"])
    assert redeem(second, made["code"]).status == 400
    assert redeem(third, "TESS-NOSUCH").json["error"]["param"] == "code"


@pytest.mark.parametrize("arguments", [("--amount", "0"), ("--amount", "x"), ("--amount", "1", "--uses", "0")])
def test_a_voucher_that_makes_no_sense_is_a_usage_error(shop: Shop, arguments: tuple[str, ...]) -> None:
    code, _ = run(shop, "vouchers", "create", *arguments, check=False)
    assert code == 2


def test_top_ups_are_listed_for_the_operator(shop: Shop) -> None:
    account = shop.account()
    topup, _ = shop.bought(account, "25.00")
    own = run(shop, "topups", "list", "--org", account.organization)
    assert [(one["id"], one["organization"]) for one in own] == [(topup["id"], account.organization_id)]
    assert topup["id"] in {one["id"] for one in run(shop, "topups", "list")}


def test_promotional_credit_is_given_with_an_end_and_spent_first(shop: Shop) -> None:
    account = shop.account("live", credit="1.00")
    run(shop, "credit", "add", "--org", account.organization, "--amount", "2.00", "--promotion", "--days", "30")
    lots = shop.call(account, "GET", "/v1/balance").json["lots"]
    assert [(lot["kind"], lot["expires_at"] is None) for lot in lots] == [("manual", True), ("promotion", False)]
