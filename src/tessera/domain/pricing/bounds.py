"""The largest charge a call can reach, before anything is sent, and how much output a sum of money buys."""

from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.money import NANOS_MAX, UNITS_PER_PRICE, round_up_to_nano
from tessera.domain.pricing.charge import QUANTITY_MAX
from tessera.domain.pricing.rows import PriceRow, Rates


def price_max(
    row: PriceRow, input_tokens_max: int, input_image_tokens_max: int, output_cap: int, choices: int = 1
) -> int:
    """Nano-dollars no charge can exceed whose input, image input and output stay within these maxima.

    Covers every split of the input: all of it written to cache where that is dearer, image tokens at the dearer of the
    two rates, and the long-context rates as soon as the input can pass the threshold. `output_cap` is per choice.
    Raises [unsupported_service_tier] if the row prices no input that long, [invalid_request] if the maximum is more
    than the ledger can hold, ValueError for negative or absurd maxima.
    """
    return price_maxima(row, input_tokens_max, input_image_tokens_max, output_cap, choices)[0]


def price_maxima(
    row: PriceRow, input_tokens_max: int, input_image_tokens_max: int, output_cap: int, choices: int = 1
) -> tuple[int, int]:
    """`price_max`, and what it would be with no output at all. Raises as `price_max`."""
    _check(input_tokens_max, input_image_tokens_max, output_cap, choices)
    _refuse_unpriced_length(row, input_tokens_max)
    output_tokens = output_cap * choices
    highest = highest_input = 0
    for input_sum, output_rate in _sides(row, input_tokens_max, input_image_tokens_max):
        highest = max(highest, input_sum + output_tokens * output_rate)
        highest_input = max(highest_input, input_sum)
    nanos = round_up_to_nano(highest)
    if nanos > NANOS_MAX:
        raise TesseraError(
            ErrorCode.INVALID_REQUEST, "This call could cost more than any balance can hold: lower its output limit."
        )
    return nanos, round_up_to_nano(highest_input)


def affordable_output_tokens(
    row: PriceRow, input_tokens_max: int, input_image_tokens_max: int, nanos: int, choices: int = 1
) -> int:
    """The largest output cap per choice with which `price_max` stays within `nanos`: exactly its inverse.

    0 when not even the input is affordable. Raises as `price_max`.
    """
    _check(input_tokens_max, input_image_tokens_max, 0, choices)
    _refuse_unpriced_length(row, input_tokens_max)
    cap = QUANTITY_MAX // choices
    for input_sum, output_rate in _sides(row, input_tokens_max, input_image_tokens_max):
        rest = nanos * UNITS_PER_PRICE - input_sum
        if rest < 0:
            return 0
        if output_rate:
            cap = min(cap, rest // (choices * output_rate))
    return cap


def _sides(row: PriceRow, input_tokens_max: int, input_image_tokens_max: int) -> list[tuple[int, int]]:
    """(dearest input sum, dearest output rate) for each side of the long-context threshold the input can fall on."""
    below = input_tokens_max if row.above_tokens is None else min(input_tokens_max, row.above_tokens)
    sides = [_dearest(row.rates, below, input_image_tokens_max)]
    if row.above_tokens is not None and row.above_rates is not None and input_tokens_max > row.above_tokens:
        sides.append(_dearest(row.above_rates, input_tokens_max, input_image_tokens_max))
    return sides


def _dearest(rates: Rates, input_tokens: int, input_image_tokens: int) -> tuple[int, int]:
    text_rate = max(rates.input, rates.cached_input or 0, rates.cache_write or 0)
    image_rate = max(text_rate, rates.input_image or 0, rates.cached_input_image or 0)
    image = min(input_image_tokens, input_tokens)
    output_rate = max(rates.output, rates.output_image or 0)
    return (input_tokens - image) * text_rate + image * image_rate, output_rate


def _refuse_unpriced_length(row: PriceRow, input_tokens_max: int) -> None:
    if row.input_tokens_max is not None and input_tokens_max > row.input_tokens_max:
        raise TesseraError(
            ErrorCode.UNSUPPORTED_SERVICE_TIER,
            f"The {row.tier} tier of {row.model} has no price above {row.input_tokens_max:,} input tokens, and this "
            f"call can reach {input_tokens_max:,}: use the default tier or shorten the input.",
            param="service_tier",
        )


def _check(input_tokens_max: int, input_image_tokens_max: int, output_cap: int, choices: int) -> None:
    for quantity in (input_tokens_max, input_image_tokens_max, output_cap):
        if type(quantity) is not int or not 0 <= quantity <= QUANTITY_MAX:
            raise ValueError(f"a maximum must be an integer between 0 and 2**53, not {quantity!r}")
    if type(choices) is not int or not 1 <= choices <= QUANTITY_MAX:
        raise ValueError(f"choices must be at least 1, not {choices!r}")
