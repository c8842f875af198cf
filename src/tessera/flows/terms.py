"""What a caller agreed to pay: a quote, a highest price, a wish to fit; checked before anything is held."""

from typing import Literal

import msgspec

from tessera.domain.amounts import asked_usd
from tessera.domain.auth import Caller
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.ledger.idempotency import KEY_LENGTH_MAX
from tessera.domain.money import format_usd
from tessera.flows.quoting import Estimate, output_affordable, with_output_cap
from tessera.flows.world import World
from tessera.ports import SavedQuote

Fit = Literal["balance", "max-price"]


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """The terms in a call's headers. `price_max_nanos` and `fit` are None when not sent."""

    quote_id: str | None = None
    price_max_nanos: int | None = None
    fit: Fit | None = None
    idempotency_key: str | None = None


NO_TERMS = Terms()


def read_terms(quote_id: str | None, price_max: str | None, fit: str | None, idempotency_key: str | None) -> Terms:
    """Terms from header values. Raises invalid_request naming the header."""
    price_max_nanos = None if price_max is None else asked_usd(price_max, "Tessera-Max-Price")
    if fit is not None and fit not in ("balance", "max-price"):
        raise TesseraError(
            ErrorCode.INVALID_REQUEST, "Tessera-Fit must be `balance` or `max-price`.", param="Tessera-Fit"
        )
    if fit == "max-price" and price_max_nanos is None:
        raise TesseraError(
            ErrorCode.INVALID_REQUEST,
            "Tessera-Fit: max-price needs a Tessera-Max-Price to fit to.",
            param="Tessera-Fit",
        )
    if idempotency_key is not None and not 1 <= len(idempotency_key) <= KEY_LENGTH_MAX:
        raise TesseraError(
            ErrorCode.INVALID_REQUEST,
            f"Idempotency-Key must have 1 to {KEY_LENGTH_MAX} characters.",
            param="Idempotency-Key",
        )
    chosen: Fit | None = "balance" if fit == "balance" else "max-price" if fit == "max-price" else None
    return Terms(quote_id=quote_id, price_max_nanos=price_max_nanos, fit=chosen, idempotency_key=idempotency_key)


async def find_quote(world: World, caller: Caller, quote_id: str) -> SavedQuote:
    """The quote a call refers to, still binding. Raises quote_mismatch (unknown here), quote_expired."""
    saved = await world.storage.find_quote(caller.organization_id, caller.mode, quote_id)
    if saved is None:
        raise TesseraError(
            ErrorCode.QUOTE_MISMATCH, f"There is no quote {quote_id[:64]!r} for this key.", param="Tessera-Quote"
        )
    if world.clock.now_us() >= saved.expires_at_us:
        raise TesseraError(ErrorCode.QUOTE_EXPIRED, "This quote has expired; ask for a new one.", param="Tessera-Quote")
    return saved


def under_quote(found: Estimate, saved: SavedQuote) -> Estimate:
    """The estimate under the name and life of the quote that the caller holds it to, so that the receipt shows it."""
    named = msgspec.structs.replace(
        found.quote,
        id=saved.id,
        created_at=saved.created_at_us // 1_000_000,
        expires_at=saved.expires_at_us // 1_000_000,
    )
    return msgspec.structs.replace(found, quote=named)


def agree(terms: Terms, quote: SavedQuote | None, found: Estimate) -> Estimate:
    """The estimate, fitted to the caller's terms. Raises quote_mismatch, price_over_limit."""
    price_max = found.quote.max_nanos
    if quote is not None and quote.price_version != found.quote.price_version:
        raise TesseraError(
            ErrorCode.QUOTE_MISMATCH,
            "Prices have changed since this quote was made; ask for a new one.",
            param="Tessera-Quote",
        )
    if quote is not None and (quote.model != found.model.canonical or price_max > quote.max_nanos):
        raise TesseraError(
            ErrorCode.QUOTE_MISMATCH,
            f"This call can cost up to ${format_usd(price_max)} on {found.model.canonical}; the quote covers "
            f"${format_usd(quote.max_nanos)} on {quote.model}.",
            param="Tessera-Quote",
        )
    if quote is not None:
        found = under_quote(found, quote)
    limit = terms.price_max_nanos
    if limit is None or price_max <= limit:
        return found
    affordable = output_affordable(found, limit)
    fits = affordable >= found.output_cap_min
    if terms.fit == "max-price" and fits:
        return with_output_cap(found, affordable)
    advice = (
        "Lower the output limit or send Tessera-Fit: max-price."
        if fits
        else "Even the shortest answer is not covered: send less input or allow a higher price."
    )
    raise TesseraError(
        ErrorCode.PRICE_OVER_LIMIT,
        f"This call can cost up to ${format_usd(price_max)}, more than Tessera-Max-Price allows "
        f"(${format_usd(limit)}). Nothing was sent. {advice}",
        details={
            "required": format_usd(price_max),
            "required_nanos": price_max,
            "limit": format_usd(limit),
            "limit_nanos": limit,
            "output_tokens_affordable": affordable,
        },
    )
