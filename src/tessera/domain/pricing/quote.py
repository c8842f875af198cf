"""A quote: what a call is expected to cost and the most it can cost, before anything is sent."""

from collections.abc import Iterable, Sequence

import msgspec

from tessera.domain.money import Mode, format_usd
from tessera.domain.pricing.bounds import price_maxima
from tessera.domain.pricing.charge import charge_nanos
from tessera.domain.pricing.rows import PriceRow
from tessera.domain.quantities import Quantities
from tessera.domain.tokens import ImageCount, Span, TokenCount


class QuotedImage(msgspec.Struct, frozen=True, kw_only=True):
    """One image of a quote: where it came from, and its count. `advisories` are (code, message) pairs.

    `source` is where it came from (`url`, `data`, `file`), `format` png, jpeg, …, `orientation` the EXIF value, 1 to 8.
    """

    index: int
    count: ImageCount
    source: str = ""
    format: str = ""
    orientation: int = 1
    advisories: tuple[tuple[str, str], ...] = ()


class Cheaper(msgspec.Struct, frozen=True, kw_only=True):
    """A change to the call that lowers its maximum, and the maximum it would then have."""

    change: str
    price_max_nanos: int
    saves_nanos: int


class Quote(msgspec.Struct, frozen=True, kw_only=True):
    """What one call costs under one price version. Times are seconds since 1970, money nano-dollars.

    `output_max_tokens` is the cap per choice. `max_nanos` = `input_max_nanos` + `output_max_nanos` is the hold, over
    the dearest row the call may be served at; `input_predicted_nanos` is at the row it is expected to be served at.
    `volume_nanos` is there where prices depend on it: what the organization was charged in the month.
    """

    id: str
    created_at: int
    expires_at: int
    mode: Mode
    model: str
    service_tier: str
    price_version: str
    text: Span
    image: Span
    total: Span
    output_max_tokens: int
    images: tuple[QuotedImage, ...]
    input_predicted_nanos: int
    input_max_nanos: int
    output_max_nanos: int
    max_nanos: int
    cheaper: tuple[Cheaper, ...] = ()
    volume_nanos: int | msgspec.UnsetType = msgspec.UNSET


def build_quote(
    *,
    id: str,
    created_at: int,
    expires_at: int,
    mode: Mode,
    model: str,
    service_tier: str,
    price_version: str,
    count: TokenCount,
    images: Sequence[QuotedImage],
    rows: Sequence[PriceRow],
    output_max_tokens: int,
    choices: int,
    cheaper: Sequence[Cheaper] = (),
    volume_nanos: int | None = None,
) -> Quote:
    """The quote of a counted call. `rows[0]` is the row it is expected at, the others what it may fall back to.

    Raises as `price_max`; ValueError when there is no row.
    """
    if not rows:
        raise ValueError("a quote needs at least one price row")
    total, image = count.total, count.image
    max_nanos, input_max_nanos = price_maxima(rows[0], total.max, image.max, output_max_tokens, choices)
    for row in rows[1:]:
        maximum, of_input = price_maxima(row, total.max, image.max, output_max_tokens, choices)
        if maximum > max_nanos:
            max_nanos, input_max_nanos = maximum, of_input
    predicted = Quantities(input_tokens=total.predicted, input_image_tokens=image.predicted)
    return Quote(
        id=id,
        created_at=created_at,
        expires_at=expires_at,
        mode=mode,
        model=model,
        service_tier=service_tier,
        price_version=price_version,
        text=count.text,
        image=image,
        total=total,
        output_max_tokens=output_max_tokens,
        images=tuple(images),
        input_predicted_nanos=charge_nanos(rows[0], predicted),
        input_max_nanos=input_max_nanos,
        output_max_nanos=max_nanos - input_max_nanos,
        max_nanos=max_nanos,
        cheaper=tuple(cheaper),
        volume_nanos=msgspec.UNSET if volume_nanos is None else volume_nanos,
    )


def cheaper_changes(max_nanos: int, alternatives: Iterable[tuple[str, int]]) -> tuple[Cheaper, ...]:
    """Those of (change, its maximum in nanos) that cost less than `max_nanos`, the largest saving first."""
    found = [
        Cheaper(change=change, price_max_nanos=nanos, saves_nanos=max_nanos - nanos)
        for change, nanos in alternatives
        if nanos < max_nanos
    ]
    return tuple(sorted(found, key=lambda option: (-option.saves_nanos, option.change)))


def quote_object(quote: Quote) -> dict[str, object]:
    """The quote as the contract's JSON: amounts are decimal strings in USD, `max_nanos` an integer."""
    return {
        "id": quote.id,
        "object": "quote",
        "created_at": quote.created_at,
        "expires_at": quote.expires_at,
        "mode": str(quote.mode),
        "model": quote.model,
        "service_tier": quote.service_tier,
        "price_version": quote.price_version,
        "input": {
            "text_tokens": _span_object(quote.text),
            "image_tokens": _span_object(quote.image),
            "total_tokens": _span_object(quote.total),
        },
        "output": {"max_tokens": quote.output_max_tokens},
        "images": [_image_object(image) for image in quote.images],
        "price": {
            "currency": "usd",
            "input_predicted": format_usd(quote.input_predicted_nanos),
            "input_max": format_usd(quote.input_max_nanos),
            "output_max": format_usd(quote.output_max_nanos),
            "max": format_usd(quote.max_nanos),
            "max_nanos": quote.max_nanos,
            **_volume_object(quote.volume_nanos),
        },
        "cheaper": [
            {
                "change": option.change,
                "price_max": format_usd(option.price_max_nanos),
                "saves": format_usd(option.saves_nanos),
            }
            for option in quote.cheaper
        ],
    }


def _volume_object(volume_nanos: int | msgspec.UnsetType) -> dict[str, object]:
    if isinstance(volume_nanos, msgspec.UnsetType):
        return {}
    return {"volume": format_usd(volume_nanos), "volume_nanos": volume_nanos}


def _span_object(span: Span) -> dict[str, int]:
    return {"predicted": span.predicted, "max": span.max}


def _image_object(image: QuotedImage) -> dict[str, object]:
    count = image.count
    return {
        "index": image.index,
        "source": image.source,
        "format": image.format,
        "width": count.width,
        "height": count.height,
        "orientation": image.orientation,
        "detail": count.detail,
        "detail_used": count.detail_used,
        "rule": count.rule,
        "sized_width": count.sized_width,
        "sized_height": count.sized_height,
        "patches": count.patches,
        "tiles": count.tiles,
        "multiplier": count.multiplier,
        "tokens": _span_object(count.tokens),
        "confidence": str(count.confidence),
        "rule_source": count.rule_source,
        "advisories": [{"code": code, "message": message} for code, message in image.advisories],
    }
