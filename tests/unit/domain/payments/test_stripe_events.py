"""Stripe's events: whatever an object holds is news of known shape, or nothing; never an exception or a float."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tessera.domain.money import Mode
from tessera.domain.payments.news import Charged, Claimed, FeeTaken, Nothing, Paid, Refused, Unpaid
from tessera.domain.payments.stripe_events import fee_news, news_of, read_event

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner),
    max_leaves=3,
)
FIELDS = ("id", "mode", "payment_status", "payment_intent", "amount_total", "amount_received", "amount", "currency")
TRANSACTIONS = st.fixed_dictionaries(
    {}, optional={name: VALUES | st.just("usd") | st.just(1) for name in ("id", "fee", "currency", "created")}
)
OBJECTS = st.fixed_dictionaries(
    {},
    optional={name: VALUES for name in (*FIELDS, "status", "customer")}
    | {"total_details": VALUES | st.fixed_dictionaries({"amount_tax": VALUES})}
    | {"balance_transactions": VALUES | st.lists(VALUES | TRANSACTIONS, max_size=2)}
    | {"latest_charge": VALUES | st.fixed_dictionaries({"balance_transaction": VALUES | TRANSACTIONS})}
    | {
        "metadata": VALUES
        | st.dictionaries(st.sampled_from(["tessera_topup", "tessera_refund", "tessera_tax"]), VALUES)
    },
)
KINDS = st.sampled_from(
    [
        *("checkout.session.completed", "checkout.session.expired", "payment_intent.succeeded", "refund.created"),
        *("charge.succeeded", "charge.updated"),
        *("payment_intent.payment_failed", "charge.dispute.created", "charge.dispute.closed", "charge.refunded", ""),
    ]
)


@given(kind=KINDS, thing=OBJECTS)
def test_any_object_is_news_or_nothing(kind: str, thing: dict[str, Any]) -> None:
    news = news_of(kind, thing)
    assert isinstance(news, Paid | Unpaid | Charged | Claimed | Nothing | Refused)
    assert isinstance(fee_news(thing), FeeTaken | Nothing)
    if isinstance(news, Paid | Claimed):
        assert type(news.amount_cents) is int
        assert 0 < len(news.payment_id) <= 255
    if isinstance(news, Paid):
        assert 0 <= news.tax_cents <= news.amount_cents
    if isinstance(news, Claimed):
        assert all(type(fee.amount_cents) is int and fee.amount_cents for fee in news.fees)


@given(body=st.binary(max_size=100) | VALUES.map(lambda value: json.dumps(value).encode()))
def test_a_body_that_is_no_event_is_a_value_error(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_event(body, Mode.LIVE)


@pytest.mark.parametrize("mode", list(Mode))
@pytest.mark.parametrize("livemode", [True, False])
def test_the_mode_is_that_of_the_secret(mode: Mode, livemode: bool) -> None:
    event = {"id": "evt_1", "type": "customer.created", "livemode": livemode, "data": {"object": {}}}
    news = read_event(json.dumps(event).encode(), mode).news
    assert isinstance(news, Nothing if livemode is (mode is Mode.LIVE) else Refused)


@pytest.mark.parametrize(
    ("tax", "said"),
    [
        *((None, 0), ("0", 0), ("380", 380), ("2380", 2380), ("automatic", Nothing)),
        *((tax, Refused) for tax in ("2381", "-1", "3.8", "٣", "1" * 255)),
    ],
)
def test_a_payment_says_how_much_of_it_is_tax_or_leaves_it_to_its_page(tax: str | None, said: object) -> None:
    metadata = {"tessera_topup": "tu_1"} | ({} if tax is None else {"tessera_tax": tax})
    payment = {"id": "pi_1", "status": "succeeded", "amount_received": 2380, "currency": "usd", "metadata": metadata}
    news = news_of("payment_intent.succeeded", payment)
    assert (news.tax_cents if isinstance(news, Paid) else type(news)) == said
