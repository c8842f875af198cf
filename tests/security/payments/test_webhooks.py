"""Stripe's webhook: F24 and T1 to T4, over real sockets, with real signatures."""

import json
import random
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from payment_servers import Shop
from people_calls import send
from servers import TesseraServer
from stripe_stand_in import LIVE_SECRET, OLD_SECRET, TEST_SECRET, post_event
from tessera.domain.payments.signatures import sign


def events_kept(server: TesseraServer) -> int:
    """How many events stand in the database."""
    import sqlite3

    with sqlite3.connect(f"file:{server.data_dir / 'tessera.db'}?mode=ro", uri=True) as connection:
        (count,) = connection.execute("SELECT count(*) FROM payment_event").fetchone()
    connection.close()
    return int(count)


def paid_event(shop: Shop, **changes: Any) -> tuple[Any, dict[str, Any]]:
    """An account, and the event that would credit it."""
    account = shop.account()
    session = shop.session_of(shop.topup(account, "25.00"))
    shop.stripe.pay(session)
    return account, shop.stripe.event("checkout.session.completed", session | changes)


# ---- T1, T2: who says it -------------------------------------------------------------------------------------------


def test_t1_without_a_secret_the_route_does_not_exist(server: TesseraServer) -> None:
    body = b'{"id": "evt_1"}'
    for secret in ("", LIVE_SECRET):
        reply = post_event(server, body, sign(body, secret, int(time.time())))
        assert (reply.status, reply.code) == (404, "not_found")
    described = send(server.base_url, "GET", "/openapi.json").json
    assert "/webhooks/stripe" not in described["paths"]


def forged(body: bytes, now: int) -> dict[str, str | None]:
    good = sign(body, LIVE_SECRET, now)
    digest = good.partition("v1=")[2]
    return {
        "missing": None,
        "empty": "",
        "not a signature": "v1",
        "wrong secret": sign(body, "whsec_other", now),
        "empty secret": sign(body, "", now),
        "another body's": sign(body + b" ", LIVE_SECRET, now),
        "too old": sign(body, LIVE_SECRET, now - 301),
        "from the future": sign(body, LIVE_SECRET, now + 400),
        "another time": good.replace(f"t={now}", f"t={now + 1}"),
        "no time": f"v1={digest}",
        "two times": f"t={now},{good}",
        "old scheme": good.replace("v1=", "v0="),
        "newer scheme": good.replace("v1=", "v2="),
        "capitals": good.replace(digest, digest.upper()),
        "cut": good[:-1],
        "longer": good + "0",
        "blanks": good.replace(",", ", "),
        "time with a sign": good.replace("t=", "t=+"),
        "time of other digits": good.replace(f"t={now}", "t=" + "".join(chr(0xB2 + int(d) % 2) for d in str(now))),
        "many": good.partition(",")[0] + ",v1=" + ",v1=".join(["0" * 64] * 20) + f",v1={digest}",
        "long": good + "," + "x=" + "y" * 3000,
    }


@pytest.mark.parametrize("name", list(forged(b"", 10**9)))
def test_t2_an_event_that_is_not_signed_is_refused_and_leaves_no_row(shop: Shop, name: str) -> None:
    account, event = paid_event(shop)
    body = json.dumps(event).encode()
    before = events_kept(shop.server)
    reply = post_event(shop.server, body, forged(body, int(time.time()))[name])
    assert (reply.status, reply.code) == (400, "invalid_request")
    assert events_kept(shop.server) == before
    assert shop.available(account) == "0.00"


def test_t2_a_body_written_anew_is_not_the_body_that_was_signed(shop: Shop) -> None:
    account, event = paid_event(shop)
    body = json.dumps(event).encode()
    signature = sign(body, LIVE_SECRET, int(time.time()))
    rewritten = json.dumps(event, separators=(",", ":")).encode()
    for other in (rewritten, body + b"\n", json.dumps(event, sort_keys=True).encode(), b""):
        assert post_event(shop.server, other, signature).status == 400
    assert shop.available(account) == "0.00"
    assert post_event(shop.server, body, signature).json["outcome"] == "applied"


def test_t2_two_signatures_in_two_headers_are_refused(shop: Shop) -> None:
    import http.client
    from urllib.parse import urlsplit

    _, event = paid_event(shop)
    body = json.dumps(event).encode()
    address = urlsplit(shop.server.base_url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=30)
    connection.putrequest("POST", "/webhooks/stripe")
    for name, value in (
        ("Content-Length", str(len(body))),
        ("Stripe-Signature", "t=1,v1=" + "0" * 64),
        ("Stripe-Signature", sign(body, LIVE_SECRET, int(time.time()))),
    ):
        connection.putheader(name, value)
    connection.endheaders(body)
    assert connection.getresponse().status == 400
    connection.close()


def test_both_secrets_are_taken_while_one_is_rotated(shop: Shop) -> None:
    for secret in (OLD_SECRET, LIVE_SECRET):
        account, event = paid_event(shop)
        assert shop.stripe.deliver(shop.server, event, secret=secret).json["outcome"] == "applied"
        assert shop.available(account) == "25.00"
    account, event = paid_event(shop)
    body = json.dumps(event).encode()
    now = int(time.time())
    both = sign(body, "whsec_unknown", now) + "," + sign(body, LIVE_SECRET, now).partition(",")[2]
    assert post_event(shop.server, body, both).json["outcome"] == "applied"


def test_a_signed_body_that_is_no_event_is_refused(shop: Shop) -> None:
    for body in (b"", b"{}", b"[]", b"null", b"\xff", b'{"id": "evt_1"}', b'{"id": 5, "type": "x", "livemode": true}'):
        assert post_event(shop.server, body, sign(body, LIVE_SECRET, int(time.time()))).status == 400
    huge = b" " * (1024 * 1024 + 1)
    assert post_event(shop.server, huge, sign(huge, LIVE_SECRET, int(time.time()))).status == 413


# ---- T3, T4: what it says ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {"currency": "eur"},
        {"currency": "jpy"},
        {"currency": None},
        {"amount_total": 2499},
        {"amount_total": 250000},
        {"amount_total": 0},
        {"amount_total": -2500},
        {"amount_total": "2500"},
        {"amount_total": 2500.0},
        {"amount_total": True},
        {"amount_total": 2**63},
        {"mode": "subscription"},
        {"mode": "setup"},
        {"payment_intent": None},
        {"metadata": {"tessera_topup": "topup_of_another_gateway"}},
    ],
)
def test_t3_an_event_that_does_not_fit_the_order_is_refused(shop: Shop, changes: dict[str, Any]) -> None:
    account, event = paid_event(shop, **changes)
    for _ in range(2):
        reply = shop.stripe.deliver(shop.server, event)
        assert (reply.status, reply.code) == (400, "invalid_request")
    assert shop.available(account) == "0.00"


def test_t3_test_mode_never_pays_live_money_nor_a_connected_account_ours(shop: Shop) -> None:
    account, event = paid_event(shop)
    for wrong, secret in (
        (event | {"livemode": False}, LIVE_SECRET),
        (event | {"livemode": False}, TEST_SECRET),
        (event, TEST_SECRET),
        (event | {"account": "acct_other"}, LIVE_SECRET),
    ):
        fresh = wrong | {"id": shop.stripe.new_id("evt")}
        assert shop.stripe.deliver(shop.server, fresh, secret=secret).status == 400
    assert shop.available(account) == "0.00"
    assert shop.stripe.deliver(shop.server, event).json["outcome"] == "applied"


def test_t4_money_is_credited_when_the_payment_is_settled_not_when_the_page_is_done(shop: Shop) -> None:
    account = shop.account()
    session = shop.session_of(shop.topup(account, "25.00"))
    payment = shop.stripe.pay(session, settled=False)
    assert shop.stripe.send(shop.server, "checkout.session.completed", session).json["outcome"] == "ignored"
    assert shop.available(account) == "0.00"
    session["payment_status"], payment["status"] = "paid", "succeeded"
    settled = shop.stripe.send(shop.server, "checkout.session.async_payment_succeeded", session)
    assert settled.json["outcome"] == "applied"
    assert shop.available(account) == "25.00"


def test_a_payment_that_fails_or_a_page_that_expires_ends_the_top_up(shop: Shop) -> None:
    account = shop.account()
    for kind, status in (("async_payment_failed", "failed"), ("expired", "expired")):
        topup = shop.topup(account)
        shop.stripe.send(shop.server, f"checkout.session.{kind}", shop.session_of(topup))
        assert shop.show(account, topup)["status"] == status
    assert shop.available(account) == "0.00"


def test_what_is_none_of_ours_is_taken_and_left_alone(shop: Shop) -> None:
    for kind, thing in (
        ("customer.created", {"id": "cus_1"}),
        ("checkout.session.completed", {"id": "cs_x", "mode": "payment", "metadata": {}}),
        ("checkout.session.completed", {"id": "cs_x", "mode": "payment", "metadata": None}),
        ("payment_intent.succeeded", {"id": "pi_x", "metadata": {}}),
        ("charge.refunded", {"id": "ch_x", "amount_refunded": 5}),
    ):
        reply = shop.stripe.send(shop.server, kind, thing)
        assert (reply.status, reply.json["outcome"]) == (200, "ignored")


# ---- F24: how often, in which order --------------------------------------------------------------------------------


def test_f24_one_payment_is_credited_once_however_it_is_told_and_how_often(shop: Shop) -> None:
    account, event = paid_event(shop)
    session = event["data"]["object"]
    payment = next(one for one in shop.stripe.payments if one["id"] == session["payment_intent"])
    other = shop.stripe.event("payment_intent.succeeded", payment)
    another = shop.stripe.event("checkout.session.async_payment_succeeded", session)
    told = [event, other, another] * 10
    with ThreadPoolExecutor(10) as pool:
        replies = list(pool.map(lambda one: shop.stripe.deliver(shop.server, one), told))
    assert {reply.status for reply in replies} == {200}
    outcomes = sorted(reply.json["outcome"] for reply in replies)
    assert outcomes == ["applied"] + ["repeated"] * 29
    assert shop.available(account) == "25.00"


def test_f24_a_refund_or_dispute_before_its_payment_waits_for_it(shop: Shop) -> None:
    account, event = paid_event(shop)
    payment = event["data"]["object"]["payment_intent"]
    refund = shop.stripe.refund(payment, 500)
    dispute = shop.stripe.dispute(payment, 700)
    for kind, thing in (("refund.created", refund), ("charge.dispute.created", dispute)):
        reply = shop.stripe.send(shop.server, kind, thing)
        assert (reply.status, reply.json["outcome"]) == (200, "waiting")
    assert shop.available(account) == "0.00"
    assert shop.stripe.deliver(shop.server, event).json["outcome"] == "applied"
    assert shop.available(account) == "13.00"


def test_f24_a_dispute_takes_the_balance_below_zero_and_suspends_and_a_won_one_gives_it_back(shop: Shop) -> None:
    account, event = paid_event(shop)
    shop.stripe.deliver(shop.server, event)
    body = {"model": "tessera/sight", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 5}
    served = shop.call(account, "POST", "/v1/chat/completions", body)
    assert served.status == 200, served.text
    charge = served.json["usage"]["charge_nanos"]
    dispute = shop.stripe.dispute(event["data"]["object"]["payment_intent"], 2500)
    for kind in ("created", "funds_withdrawn", "updated"):
        assert shop.stripe.send(shop.server, f"charge.dispute.{kind}", dispute).status == 200
    balance = shop.call(account, "GET", "/v1/balance").json
    assert (balance["available_nanos"], balance["disputed"]) == (-charge, "25.00")
    if charge:
        refused = shop.call(account, "POST", "/v1/chat/completions", body)
        assert (refused.status, refused.code) == (403, "organization_suspended")
        assert refused.json["error"]["reason"] == "dispute"
    dispute["status"] = "won"
    for kind in ("closed", "funds_reinstated"):
        assert shop.stripe.send(shop.server, f"charge.dispute.{kind}", dispute).status == 200
    assert shop.call(account, "GET", "/v1/balance").json["available_nanos"] == 25 * 10**9 - charge
    assert shop.call(account, "POST", "/v1/chat/completions", body).status == 200


def test_f24_an_inquiry_takes_nothing_and_a_lost_dispute_stays_taken(shop: Shop) -> None:
    account, event = paid_event(shop)
    shop.stripe.deliver(shop.server, event)
    payment = event["data"]["object"]["payment_intent"]
    inquiry = shop.stripe.dispute(payment, 2500, status="warning_needs_response")
    assert shop.stripe.send(shop.server, "charge.dispute.created", inquiry).json["outcome"] == "ignored"
    lost = shop.stripe.dispute(payment, 1000)
    shop.stripe.send(shop.server, "charge.dispute.created", lost)
    lost["status"] = "lost"
    shop.stripe.send(shop.server, "charge.dispute.closed", lost)
    assert shop.available(account) == "15.00"


@pytest.mark.parametrize("seed", range(6))
def test_f24_whatever_the_order_the_end_is_the_same(shop: Shop, seed: int) -> None:
    """Payment, two refunds (one fails), two disputes (one won), each told several times, shuffled."""
    chance = random.Random(seed)
    account, event = paid_event(shop)
    payment = event["data"]["object"]["payment_intent"]
    sent, failed = shop.stripe.refund(payment, 300), shop.stripe.refund(payment, 400)
    lost, won = shop.stripe.dispute(payment, 500), shop.stripe.dispute(payment, 600)
    told = [event, event]
    for kind, things in (("refund.created", (sent, failed)), ("charge.dispute.created", (lost, won))):
        told += [shop.stripe.event(kind, thing) for thing in things for _ in range(2)]
    told.append(shop.stripe.event("refund.failed", failed | {"status": "failed"}))
    told.append(shop.stripe.event("charge.dispute.closed", won | {"status": "won"}))
    chance.shuffle(told)
    assert {shop.stripe.deliver(shop.server, one).status for one in told} == {200}
    assert shop.available(account) == "17.00"


def test_f24_the_raw_event_is_kept_byte_for_byte(shop: Shop) -> None:
    import sqlite3

    _, event = paid_event(shop)
    body = json.dumps(event, indent=3).encode()
    post_event(shop.server, body, sign(body, LIVE_SECRET, int(time.time())))
    with sqlite3.connect(f"file:{shop.server.data_dir / 'tessera.db'}?mode=ro", uri=True) as connection:
        row = connection.execute("SELECT body, outcome FROM payment_event WHERE id = ?", (event["id"],)).fetchone()
    connection.close()
    assert row == (body, "applied")


def test_no_secret_of_the_payment_service_is_in_a_log(shop: Shop, tmp_path: Path) -> None:
    log = shop.server.log.read_text()
    for secret in ("whsec_", "sk_live_", "sk_test_"):
        assert secret not in log
