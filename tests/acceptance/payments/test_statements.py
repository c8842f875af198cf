"""Receipts and statements as JSON, CSV and PDF: the same figures, equal to the ledger's to the nano."""

import csv
import io
from typing import Any

import pytest

from payment_documents import fetch, month, text_of
from payment_servers import Shop

CALL = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 50}


def test_a_receipt_says_who_paid_what_in_every_form(shop: Shop) -> None:
    account = shop.account()
    topup, payment = shop.bought(account, "25.00")
    path = f"/v1/topups/{topup['id']}/receipt"
    facts = shop.call(account, "GET", path).json["facts"]
    assert (facts["Total (USD)"], facts["Organization"]) == ("25.00", account.organization)
    headers, content = fetch(shop, account, f"{path}?format=csv")
    assert headers["content-type"].startswith("text/csv")
    assert f'filename="receipt-{topup["id"]}.csv"' in headers["content-disposition"]
    assert dict(csv.reader(io.StringIO(content.decode()))) == facts
    headers, content = fetch(shop, account, f"{path}?format=pdf")
    assert headers["content-type"] == "application/pdf"
    text = text_of(content)
    for value in ("25.00", topup["id"], payment["id"], account.organization):
        assert value in text
    assert shop.call(account, "GET", f"{path}?format=docx").status == 400


def test_there_is_no_receipt_before_the_payment(shop: Shop) -> None:
    account = shop.account()
    topup = shop.topup(account)
    assert shop.call(account, "GET", f"/v1/topups/{topup['id']}/receipt").status == 400


def test_a_statements_figures_are_the_ledgers_in_every_form(shop: Shop) -> None:
    account = shop.account("test")
    charges = [shop.call(account, "POST", "/v1/chat/completions", CALL).json["usage"]["charge_nanos"] for _ in range(3)]
    path = f"/v1/statements/{month()}"
    shown = shop.call(account, "GET", path).json
    balance = shop.call(account, "GET", "/v1/balance").json
    assert shown["charged_nanos"] == sum(charges) == balance["spent_nanos"]
    assert shown["closing_nanos"] == balance["available_nanos"] + balance["held_nanos"]
    moved = sum(line["amount_nanos"] for line in shown["movements"])
    assert shown["opening_nanos"] + moved - shown["charged_nanos"] == shown["closing_nanos"]
    assert [(row["model"], row["calls"]) for row in shown["usage"]] == [("gpt-4o-mini", 3)]
    figures = [shown["charged"], shown["closing"], "100.00"]
    _, content = fetch(shop, account, f"{path}?format=csv")
    cells = {cell for row in csv.reader(io.StringIO(content.decode())) for cell in row}
    _, printed = fetch(shop, account, f"{path}?format=pdf")
    text = text_of(printed)
    for figure in figures:
        assert figure in cells
        assert figure in text


@pytest.mark.parametrize("wrong", ["2026-13", "2026-00", "26-11", "2026-1", "2026-11-01", "1999-12", "now", "2099-01"])
def test_a_month_that_is_none_is_refused(shop: Shop, wrong: str) -> None:
    reply = shop.call(shop.account(), "GET", f"/v1/statements/{wrong}")
    assert (reply.status, reply.json["error"]["param"]) == (400, "month")


def test_a_name_is_no_formula_and_no_markup(shop: Shop) -> None:
    name = '=HYPERLINK("http://example.com") <b>&amp;</b> 株式会社'
    account = shop.server.account(mode="live", name=name)
    topup, _ = shop.bought(account, "25.00")
    path = f"/v1/topups/{topup['id']}/receipt"
    _, content = fetch(shop, account, f"{path}?format=csv")
    rows: dict[str, Any] = dict(csv.reader(io.StringIO(content.decode())))
    assert rows["Organization"] == f"'{name}"
    _, printed = fetch(shop, account, f"{path}?format=pdf")
    assert "<b>&amp;</b> ????" in text_of(printed).replace("\n", " ")
