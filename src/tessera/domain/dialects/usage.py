"""What a provider's reply says about itself: usage, tier, end, and what was delivered."""

import msgspec

from tessera.domain.errors import TesseraError
from tessera.domain.quantities import Quantities
from tessera.domain.request import Surface, Tier


class ReplyFacts(msgspec.Struct, kw_only=True):
    """What settling needs to know of a reply, whole or so far.

    `usage` is None when the provider gave none; an explicit zero is a `Quantities` of zeros. `absurd` marks usage that
    was there but cannot be true (negative, not whole, parts beyond their total): it is None then.
    `finish_reason` is a chat word (stop, length, tool_calls, content_filter, error) or None while open.
    `output_text` is the delivered text, tool-call arguments and refusals, in order, at most `OUTPUT_TEXT_MAX`
    characters of it; `output_chars` counts all of it. `has_output` says whether anything was delivered.
    `error` is what the provider reported instead of an answer.
    """

    usage: Quantities | None = None
    absurd: bool = False
    served_tier: Tier | None = None
    finish_reason: str | None = None
    output_text: str = ""
    output_chars: int = 0
    has_output: bool = False
    error: TesseraError | None = None


def read_usage(surface: Surface, usage: object) -> Quantities | None:
    """Quantities of a decoded usage object; None for null. Raises ValueError for one that cannot be true."""
    raise NotImplementedError


def read_reply(surface: Surface, raw: bytes) -> ReplyFacts:
    """The facts of a whole reply with status 200. Raises [provider_error] when it is not such a reply."""
    raise NotImplementedError
