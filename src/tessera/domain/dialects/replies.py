"""A provider's whole reply: what it says about itself, and the ledger's own figure put into its usage object."""

import msgspec

from tessera.domain.errors import TesseraError
from tessera.domain.quantities import Quantities
from tessera.domain.request import Surface, Tier


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """What a settled call tells its caller: what was charged, and where its receipt is."""

    charge_nanos: int
    request_id: str


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


def read_reply(surface: Surface, raw: bytes) -> ReplyFacts:
    """The facts of a whole reply with status 200. Raises [provider_error] when it is not such a reply."""
    raise NotImplementedError


def finish_reply(surface: Surface, raw: bytes, receipt: Receipt) -> bytes:
    """A whole reply with `charge`, `charge_nanos`, `request_id` and `cost` in its `usage`; no other byte changes."""
    raise NotImplementedError
