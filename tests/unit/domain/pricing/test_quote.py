"""Quotes: figures that hold together and the contract's shape to the letter."""

from datetime import date

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from price_strategies import row, rows
from tessera.domain.money import Mode
from tessera.domain.pricing import (
    PriceRow,
    Quote,
    QuotedImage,
    Rates,
    build_quote,
    cheaper_changes,
    price_max,
    quote_object,
)
from tessera.domain.tokens import Confidence, ImageCount, Span, TokenCount

PRO = row(Rates(input=14_700_000_000, output=117_600_000_000))


def image(predicted: int = 1_229, largest: int = 1_230) -> ImageCount:
    return ImageCount(
        detail="auto",
        detail_used="high",
        width=1024,
        height=1024,
        rule="openai.patch.gpt-5.2-pro",
        sized_width=1024,
        sized_height=1024,
        patches=1024,
        tiles=None,
        multiplier="1.2",
        tokens=Span(predicted, largest),
        confidence=Confidence.INFERRED,
        rule_source="OpenAI images and vision guide",
        valid_from="2026-09-01",
    )


def quote(
    count: TokenCount, price_rows: list[PriceRow], cap: int = 100, choices: int = 1, volume_nanos: int | None = None
) -> Quote:
    return build_quote(
        id="quote_1",
        created_at=1_795_000_000,
        expires_at=1_795_000_900,
        mode=Mode.TEST,
        model="gpt-5.2-pro",
        service_tier="default",
        price_version="book-1",
        count=count,
        images=[
            QuotedImage(index=index, count=one, source="https://example.com/a.png", format="png")
            for index, one in enumerate(count.images)
        ],
        rows=price_rows,
        output_max_tokens=cap,
        choices=choices,
        volume_nanos=volume_nanos,
    )


TEXT = Span(20, 40)


def counted(text: Span = TEXT, *images: ImageCount) -> TokenCount:
    return TokenCount(text=text, images=images, text_confidence=Confidence.PUBLISHED)


def test_a_quote_without_a_price_row_is_refused() -> None:
    with pytest.raises(ValueError, match="price row"):
        quote(counted(), [])


def test_the_object_is_the_contract_s_shape() -> None:
    built = quote(counted(Span(20, 40), image()), [PRO])
    built = msgspec.structs.replace(
        built,
        images=(msgspec.structs.replace(built.images[0], advisories=(("tiny_text", "Enlarge it."),)),),
        cheaper=cheaper_changes(built.max_nanos, [("detail=low", built.max_nanos - 1_000_000)]),
    )
    assert quote_object(built) == {
        "id": "quote_1",
        "object": "quote",
        "created_at": 1_795_000_000,
        "expires_at": 1_795_000_900,
        "mode": "test",
        "model": "gpt-5.2-pro",
        "service_tier": "default",
        "price_version": "book-1",
        "input": {
            "text_tokens": {"predicted": 20, "max": 40},
            "image_tokens": {"predicted": 1_229, "max": 1_230},
            "total_tokens": {"predicted": 1_249, "max": 1_270},
        },
        "output": {"max_tokens": 100},
        "images": [
            {
                "index": 0,
                "source": "https://example.com/a.png",
                "format": "png",
                "width": 1024,
                "height": 1024,
                "orientation": 1,
                "detail": "auto",
                "detail_used": "high",
                "rule": "openai.patch.gpt-5.2-pro",
                "sized_width": 1024,
                "sized_height": 1024,
                "patches": 1024,
                "tiles": None,
                "multiplier": "1.2",
                "tokens": {"predicted": 1_229, "max": 1_230},
                "confidence": "inferred",
                "rule_source": "OpenAI images and vision guide",
                "advisories": [{"code": "tiny_text", "message": "Enlarge it."}],
            }
        ],
        "price": {
            "currency": "usd",
            "input_predicted": "0.0183603",
            "input_max": "0.018669",
            "output_max": "0.01176",
            "max": "0.030429",
            "max_nanos": 30_429_000,
        },
        "cheaper": [{"change": "detail=low", "price_max": "0.029429", "saves": "0.001"}],
    }


def test_the_maximum_is_over_the_dearest_row_the_call_may_fall_back_to() -> None:
    flex = row(Rates(input=1_000_000_000, output=2_000_000_000))
    default = row(Rates(input=2_000_000_000, output=4_000_000_000))
    built = quote(counted(Span(10, 10)), [flex, default], cap=5, choices=3)
    assert built.max_nanos == 10 * 2_000 + 15 * 4_000
    assert built.input_predicted_nanos == 10 * 1_000


def test_of_rows_that_are_equally_dear_the_expected_one_splits_the_maximum() -> None:
    dear_output = row(Rates(input=1_000_000_000, output=3_000_000_000))
    dear_input = row(Rates(input=2_000_000_000, output=2_000_000_000))
    for first, other in ((dear_output, dear_input), (dear_input, dear_output)):
        built = quote(counted(Span(10, 10)), [first, other], cap=10)
        assert built.max_nanos == 40_000
        assert built.input_max_nanos == price_max(first, 10, 0, 0)


def test_changes_that_save_the_same_are_in_the_order_of_their_names() -> None:
    assert [offer.change for offer in cheaper_changes(100, [("b", 90), ("a", 90)])] == ["a", "b"]


def test_only_what_is_really_cheaper_is_offered_the_largest_saving_first() -> None:
    offers = cheaper_changes(100, [("a", 100), ("b", 90), ("c", 40), ("d", 120)])
    assert [(offer.change, offer.price_max_nanos, offer.saves_nanos) for offer in offers] == [
        ("c", 40, 60),
        ("b", 90, 10),
    ]


@given(
    st.lists(rows(), min_size=1, max_size=3),
    st.integers(0, 400_000),
    st.integers(0, 400_000),
    st.integers(0, 50_000),
    st.integers(1, 4),
)
def test_parts_add_up_and_the_maximum_is_the_hold(
    price_rows: list[PriceRow], text: int, room: int, cap: int, choices: int
) -> None:
    count = counted(Span(text, text + room), image())
    built = quote(count, price_rows, cap, choices)
    assert built.input_max_nanos + built.output_max_nanos == built.max_nanos
    assert min(built.input_max_nanos, built.output_max_nanos, built.input_predicted_nanos) >= 0
    assert built.input_predicted_nanos <= built.max_nanos
    assert built.max_nanos == max(
        price_max(price, count.total.max, count.image.max, cap, choices) for price in price_rows
    )


def test_a_quote_of_a_dated_row_keeps_the_row_s_figures() -> None:
    dated = msgspec.structs.replace(PRO, valid_from=date(2025, 12, 11))
    assert quote(counted(), [dated]).max_nanos == 40 * 14_700 + 100 * 117_600


def test_a_quote_names_the_volume_it_was_priced_at_where_there_is_one() -> None:
    assert quote(counted(), [PRO]).volume_nanos is msgspec.UNSET
    at_volume = quote_object(quote(counted(), [PRO], volume_nanos=2_500_000_000))
    assert at_volume["price"]["volume"] == "2.50"  # type: ignore[index]
    assert at_volume["price"]["volume_nanos"] == 2_500_000_000  # type: ignore[index]
