"""A provider's event stream on its way to the caller, its last word held back until the call is settled."""

from tessera.domain.dialects.receipt import Receipt
from tessera.domain.dialects.usage import ReplyFacts
from tessera.domain.errors import TesseraError
from tessera.domain.request import Surface


class StreamRelay:
    """Feed it what the provider sends; forward what it returns; settle when `finished`; then send `finish`'s frames.

    `facts` is always current. `error` is the provider's own error event, or None. One use, one stream.
    """

    facts: ReplyFacts
    finished: bool
    error: TesseraError | None

    def __init__(self, upstream: Surface, caller: Surface, *, include_usage: bool, model: str) -> None:
        raise NotImplementedError

    def feed(self, chunk: bytes) -> list[bytes]:
        """Takes bytes cut anywhere; returns what may go to the caller now."""
        raise NotImplementedError

    def finish(self, receipt: Receipt) -> list[bytes]:
        """The terminal frames of a settled stream, charge included."""
        raise NotImplementedError

    def fail(self, error: TesseraError) -> list[bytes]:
        """The frames that end a broken stream: a top-level `error`, finish reason `error`, no `[DONE]`."""
        raise NotImplementedError

    def cut_length(self) -> None:
        """Ends a stream that ran past its output cap as if the provider had: finish reason `length`.
        The caller aborts the provider, settles, and calls `finish`."""
        raise NotImplementedError
