"""A request body, opened once: small JSON to work on, big image data left where it is."""

from typing import Any

import msgspec


class Body(msgspec.Struct, frozen=True, kw_only=True):
    """A valid JSON object as it came (`raw`) and decoded (`value`).

    Long base64 payloads of `data:` URLs are not in `value`; a short mark stands in their place. `text` gives the
    caller's own string back, `data_url` the payload as a view into `raw`.
    """

    raw: bytes
    skeleton: bytes
    value: dict[str, Any]

    def text(self, string: str) -> str:
        """The caller's own string for a string out of `value`."""
        raise NotImplementedError

    def data_url(self, string: str) -> tuple[str, memoryview] | None:
        """Media type and base64 text of a `data:` URL out of `value`; None for any other string."""
        raise NotImplementedError


def open_body(raw: bytes, *, depth_max: int = 64) -> Body:
    """Decodes a request body. Raises [invalid_request] naming the place for anything that is not one plain object:
    other JSON, bad UTF-8, lone surrogates, NaN, a duplicate key anywhere, nesting beyond `depth_max`."""
    raise NotImplementedError
