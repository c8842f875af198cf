"""How many units of each kind: one shape for what is predicted, for maxima and for measured usage."""

import msgspec


class Quantities(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Token counts of one call, by kind. Parts are contained in their totals, as in OpenAI's usage objects.

    `input_tokens` contains cached, cache-write and image tokens; `output_tokens` contains reasoning and image
    tokens. All are integers ≥ 0.
    """

    input_tokens: int = 0
    cached_input_tokens: int = 0
    cache_write_tokens: int = 0
    input_image_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    output_image_tokens: int = 0
