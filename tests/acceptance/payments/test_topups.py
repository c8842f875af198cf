"""Top-ups over HTTP: one card charge and one credit, however often it is asked for (T12, P42, P43)."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from payment_servers import Shop


def test_a_top_up_is_paid_at_stripe_and_credited_when_it_is_settled(shop: Shop) -> None:
    account = shop.account()
    topup = shop.topup(account, "25.00")
    session = shop.session_of(topup)
    assert (topup["object"], topup["status"], topup["mode"]) == ("topup", "open", "live")
    assert topup["url"] == session["url"]
    assert (session["amount_total"], session["currency"]) == (2500, "usd")
    assert session["success_url"].startswith(shop.server.base_url)
    assert shop.available(account) == "0.00"
    shop.stripe.pay(session)
    assert shop.available(account) == "0.00"
    told = shop.stripe.send(shop.server, "checkout.session.completed", session)
    assert (told.status, told.json["outcome"]) == (200, "applied")
    assert shop.available(account) == "25.00"
    paid = shop.show(account, topup)
    assert (paid["status"], paid["url"]) == ("paid", None)
    balance = shop.call(account, "GET", "/v1/balance").json
    assert [(lot["kind"], lot["id"]) for lot in balance["lots"]] == [("purchase", paid["lot"])]
    entries = shop.call(account, "GET", "/v1/ledger").json["data"]
    kinds = [entry["kind"] for entry in entries if entry["kind"] != "fee"]
    assert kinds == ["purchase", "purchase"]


@pytest.mark.parametrize("mode", ["live", "test"])
def test_a_repeated_click_opens_one_page_and_is_marked(shop: Shop, mode: str) -> None:
    """T12."""
    account = shop.account(mode)
    body = {"amount": "30.00"}

    def click(_: int) -> tuple[int, str, str | None]:
        reply = shop.call(account, "POST", "/v1/topups", body, Idempotency_Key="one click")
        return reply.status, str(reply.json.get("id")), reply.headers.get("idempotent-replayed")

    with ThreadPoolExecutor(10) as pool:
        replies = list(pool.map(click, range(10)))
    good = [reply for reply in replies if reply[0] == 200]
    assert {status for status, _, _ in replies} <= {200, 409}
    assert len({topup for _, topup, _ in good}) == 1
    assert sum(replayed is None for _, _, replayed in good) <= 1
    again = click(0)
    assert again == (200, good[0][1], "true")
    sessions = [one for one in shop.stripe.sessions if one["client_reference_id"] == good[0][1]]
    assert len(sessions) == 1
    other = shop.call(account, "POST", "/v1/topups", {"amount": "31.00"}, Idempotency_Key="one click")
    assert (other.status, other.code) == (400, "idempotency_mismatch")
    assert other.headers["x-should-retry"] == "false"


def test_a_top_up_whose_answer_was_lost_is_opened_once_stripe_is_there_again(shop: Shop) -> None:
    account = shop.account()
    shop.stripe.fails = 3
    lost = shop.call(account, "POST", "/v1/topups", {"amount": "25.00"}, Idempotency_Key="lost")
    assert (lost.status, lost.code) == (503, "payments_unavailable")
    assert "retry-after" in lost.headers
    shop.stripe.fails = 0
    topup = shop.topup(account, "25.00", key="lost")
    listed = shop.call(account, "GET", "/v1/topups").json["data"]
    assert [one["id"] for one in listed] == [topup["id"]]
    assert topup["status"] == "open"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        *(
            ({"amount": amount}, "amount")
            for amount in ("4.99", "10000.01", "25.001", "0", "-25.00", "25,00", "1e3", "")
        ),
        ({"amount": 25}, "amount"),
        ({}, "amount"),
        ({"amount": "25.00", "currency": "eur"}, "currency"),
        ({"amount": "25.00", "mode": "test"}, "mode"),
        ({"amount": "25.00", "organization_id": "org_1"}, "organization_id"),
        ({"amount": "25.00", "save_card": "yes"}, "save_card"),
    ],
)
def test_what_cannot_be_paid_is_refused_by_its_name(shop: Shop, body: dict[str, object], param: str) -> None:
    account = shop.account()
    reply = shop.call(account, "POST", "/v1/topups", body, Idempotency_Key="k")
    assert (reply.status, reply.code) == (400, "invalid_request")
    assert reply.json["error"]["param"] == param
    assert shop.call(account, "GET", "/v1/topups").json["data"] == []


def test_a_top_up_without_an_idempotency_key_is_refused(shop: Shop) -> None:
    account = shop.account()
    for headers in ({}, {"Idempotency_Key": "k" * 256}):
        reply = shop.call(account, "POST", "/v1/topups", {"amount": "25.00"}, **headers)
        assert (reply.status, reply.json["error"]["param"]) == (400, "Idempotency-Key")


def test_top_ups_of_others_and_of_the_other_mode_are_not_there(shop: Shop) -> None:
    mine, theirs = shop.account(), shop.account()
    topup = shop.topup(mine)
    for path in (f"/v1/topups/{topup['id']}", f"/v1/topups/{topup['id']}/receipt"):
        assert shop.call(theirs, "GET", path).status == 404
    assert shop.call(theirs, "GET", "/v1/topups").json["data"] == []
    reply = shop.call(theirs, "GET", f"/v1/topups?after={topup['id']}")
    assert (reply.status, reply.code) == (400, "invalid_request")


def test_top_ups_are_listed_newest_first_in_pages(shop: Shop) -> None:
    account = shop.account()
    made = [shop.topup(account)["id"] for _ in range(3)]
    first = shop.call(account, "GET", "/v1/topups?limit=2").json
    assert ([one["id"] for one in first["data"]], first["has_more"]) == ([made[2], made[1]], True)
    rest = shop.call(account, "GET", f"/v1/topups?limit=2&after={first['last_id']}").json
    assert ([one["id"] for one in rest["data"]], rest["has_more"]) == ([made[0]], False)


def test_test_money_is_paid_in_stripes_test_mode(shop: Shop) -> None:
    account = shop.account("test")
    topup = shop.topup(account, "25.00")
    session = shop.session_of(topup)
    assert session["livemode"] is False
    shop.stripe.pay(session)
    event = shop.stripe.event("checkout.session.completed", session, livemode=False)
    assert shop.stripe.deliver(shop.server, event, secret="whsec_test").json["outcome"] == "applied"
    assert shop.available(account) == "125.00"
