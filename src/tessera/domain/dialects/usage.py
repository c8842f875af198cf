"""Usage objects of the surfaces, in the ledger's words."""

from typing import Any

from tessera.domain.quantities import Quantities
from tessera.domain.request import Surface

TOKENS_MAX = 10**9
"""No call uses a thousand million tokens: a larger figure is absurd, whatever its sender meant."""


def read_usage(surface: Surface, usage: object) -> Quantities | None:
    """Quantities of a decoded usage object; None for null, and for one that holds neither total.

    Raises ValueError for one that cannot be true: negative, not whole, beyond `TOKENS_MAX`, parts beyond their total,
    a total that is less than its two sides, or one side without the other. Cached and written tokens are inside
    the input, reasoning inside the output, on both surfaces.
    """
    if usage is None:
        return None
    if not isinstance(usage, dict):
        raise ValueError("usage is not an object")
    side = ("prompt", "completion") if surface is Surface.CHAT else ("input", "output")
    given, made = f"{side[0]}_tokens", f"{side[1]}_tokens"
    if usage.get(given) is None and usage.get(made) is None:
        return None
    inputs, outputs = _details(usage, given), _details(usage, made)
    read = Quantities(
        input_tokens=_tokens(usage, given, required=True),
        cached_input_tokens=_tokens(inputs, "cached_tokens"),
        cache_write_tokens=_tokens(inputs, "cache_write_tokens"),
        input_image_tokens=_tokens(inputs, "image_tokens"),
        output_tokens=_tokens(usage, made, required=True),
        reasoning_tokens=_tokens(outputs, "reasoning_tokens"),
        output_image_tokens=_tokens(outputs, "image_tokens"),
    )
    if read.cached_input_tokens + read.cache_write_tokens > read.input_tokens:
        raise ValueError("more cached tokens than input tokens")
    if read.input_image_tokens > read.input_tokens:
        raise ValueError("more image tokens than input tokens")
    if read.reasoning_tokens > read.output_tokens or read.output_image_tokens > read.output_tokens:
        raise ValueError("more reasoning or image tokens than output tokens")
    total = _tokens(usage, "total_tokens") if usage.get("total_tokens") is not None else None
    if total is not None and total < read.input_tokens + read.output_tokens:
        raise ValueError("the total is less than input and output")
    return read


def _details(usage: dict[str, Any], name: str) -> dict[str, Any]:
    details = usage.get(f"{name}_details")
    if details is None:
        return {}
    if not isinstance(details, dict):
        raise ValueError(f"{name}_details is not an object")
    return details


def _tokens(owner: dict[str, Any], name: str, *, required: bool = False) -> int:
    """A whole number of tokens. Some servers write 12.0 for 12; it is taken for what it is."""
    number = owner.get(name)
    if number is None and not required:
        return 0
    if isinstance(number, float) and number.is_integer():
        number = int(number)
    if type(number) is not int or not 0 <= number <= TOKENS_MAX:
        raise ValueError(f"{name} is not a whole number of tokens")
    return number
