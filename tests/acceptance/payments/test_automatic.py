"""Automatic top-up by a saved card, and the daily comparison that finds what no webhook told (F25)."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from payment_servers import Shop, running_shop
from people_calls import Browser, send
from servers import tessera

MORE = "automatic_seconds = 1\ncomparison_seconds = 2"


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """A server that looks at balances every second, and at Stripe's lists every other."""
    yield from running_shop(tmp_path_factory.mktemp("quick"), MORE, test_mode=False)


def owner_of(shop: Shop) -> tuple[Browser, str]:
    """The operator's browser, which owns an organization; and a live key of it."""
    link = shop.server.started["operator_link"]
    browser = Browser(shop.server.base_url, "operator@example.com")
    password = "correct horse battery staple"
    body = {"token": link.rpartition("#")[2], "email": browser.email, "name": "Op", "password": password}
    if browser.post("/account/operator", body).status != 200:
        assert browser.sign_in(password).status == 200
    browser.organization = browser.post("/account/organizations", {"name": f"org {time.monotonic_ns()}"}).json["id"]
    path = f"{browser.at()}/projects/{browser.project()}/api_keys"
    key = str(browser.post(path, {"name": "k", "mode": "live"}).json["value"])
    return browser, key


def available(shop: Shop, key: str) -> str:
    reply = send(shop.server.base_url, "GET", "/v1/balance", None, {"Authorization": f"Bearer {key}"})
    return str(reply.json["available"])


def save_card(shop: Shop, browser: Browser) -> None:
    """Pays $5.00 by a card and has it saved."""
    body = {"amount": "5.00", "save_card": True}
    topup = browser.post(f"{browser.at()}/topups", body, Idempotency_Key=f"k{time.monotonic_ns()}")
    assert topup.status == 200, topup.text
    session = shop.session_of(topup.json)
    assert session["payment_intent_data"]["setup_future_usage"] == "off_session"
    shop.stripe.pay(session)
    assert shop.stripe.send(shop.server, "checkout.session.completed", session).json["outcome"] == "applied"


def eventually(shop: Shop, key: str, amount: str) -> None:
    deadline = time.monotonic() + 30
    while available(shop, key) != amount:
        assert time.monotonic() < deadline, available(shop, key)
        time.sleep(0.1)


def test_a_low_balance_is_topped_up_by_the_saved_card_up_to_the_months_ceiling(quick: Shop) -> None:
    browser, key = owner_of(quick)
    path = f"{browser.at()}/automatic_topup"
    wanted = {"enabled": True, "threshold": "1000.00", "amount": "20.00", "month_max": "45.00"}
    early = browser.post(path, wanted)
    assert (early.status, early.json["error"]["param"]) == (400, "enabled")
    save_card(quick, browser)
    shown = browser.get(path).json
    assert (shown["card_saved"], shown["enabled"]) == (True, False)
    assert "cus_" not in json.dumps(shown)
    assert browser.post(path, wanted).json["enabled"] is True
    eventually(quick, key, "45.00")
    time.sleep(3)
    assert available(quick, key) == "45.00"
    charged = [one for one in quick.stripe.payments if one["metadata"]["tessera_kind"] == "automatic"]
    assert [one["amount"] for one in charged] == [2000, 2000]
    told = quick.stripe.send(quick.server, "payment_intent.succeeded", charged[0])
    assert told.json["outcome"] == "repeated"
    listed = browser.get(f"{browser.at()}/topups").json["data"]
    assert [one["kind"] for one in listed] == ["automatic", "automatic", "checkout"]
    acts = [one["type"] for one in browser.get(f"{browser.at()}/audit_logs").json["data"]]
    assert [act for act in acts if "topup" in act] == ["automatic_topup.set", "topup.created"]


def test_a_declined_card_switches_it_off_and_says_why(quick: Shop) -> None:
    browser, key = owner_of(quick)
    save_card(quick, browser)
    quick.stripe.declines = True
    path = f"{browser.at()}/automatic_topup"
    browser.post(path, {"enabled": True, "threshold": "10.00", "amount": "20.00", "month_max": "100.00"})
    deadline = time.monotonic() + 30
    while browser.get(path).json["enabled"]:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert "declined" in browser.get(path).json["failure"]
    assert available(quick, key) == "5.00"
    quick.stripe.declines = False


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"amount": "4.00"}, "amount"),
        ({"month_max": "19.99"}, "month_max"),
        ({"threshold": "-1.00"}, "threshold"),
        ({"threshold": 5}, "threshold"),
        ({"customer_id": "cus_1"}, "customer_id"),
    ],
)
def test_settings_that_make_no_sense_are_refused(quick: Shop, changes: dict[str, object], param: str) -> None:
    browser, _ = owner_of(quick)
    body = {"enabled": False, "threshold": "1.00", "amount": "20.00", "month_max": "20.00"} | changes
    reply = browser.post(f"{browser.at()}/automatic_topup", body)
    assert (reply.status, reply.json["error"]["param"]) == (400, param)


def test_f25_what_no_webhook_told_is_found_by_the_comparison(quick: Shop) -> None:
    account = quick.account()
    session = quick.session_of(quick.topup(account, "25.00"))
    payment = quick.stripe.pay(session)
    quick.eventually(account, "25.00")
    quick.stripe.refund(payment["id"], 500)
    quick.stripe.dispute(payment["id"], 700)
    quick.eventually(account, "13.00")
    time.sleep(2.5)
    assert quick.available(account) == "13.00"
    assert "payments.webhook_missed" in quick.server.log.read_text()


def test_f25_the_operator_compares_by_hand_and_hears_of_what_differs(tmp_path: Path) -> None:
    for shop in running_shop(tmp_path, test_mode=False):
        account = shop.account()
        _, payment = shop.bought(account, "25.00")
        config = ("--config", str(tmp_path / "tessera.toml"), "--data", str(shop.server.data_dir))
        compare = ("reconcile", "--payments", "--json", *config)
        same = tessera(*compare, env=shop.stripe.environment())
        assert json.loads(same.stdout) == [{"mode": "live", "compared": 1, "missed": [], "drift": []}]
        shop.stripe.pay(shop.session_of(shop.topup(account, "30.00")))
        shop.stripe.payments.remove(payment)
        differs = tessera(*compare, check=False, env=shop.stripe.environment())
        assert differs.returncode == 1
        (found,) = json.loads(differs.stdout)
        assert len(found["missed"]) == len(found["drift"]) == 1
        assert payment["id"] in found["drift"][0]
        assert shop.available(account) == "55.00"
