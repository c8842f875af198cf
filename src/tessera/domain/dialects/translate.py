"""One surface in the words of the other: chat completions and responses."""

from tessera.domain.dialects.body import Body
from tessera.domain.dialects.splice import Edits
from tessera.domain.request import InferenceRequest, Surface


def translate_request(
    source: Surface, target: Surface, body: Body, request: InferenceRequest, edits: Edits
) -> list[bytes | memoryview]:
    """A request for the other surface, edits applied. Raises [unsupported_parameter] by name for the rest."""
    raise NotImplementedError


def translate_reply(upstream: Surface, caller: Surface, raw: bytes, *, model: str) -> bytes:
    """A whole reply in the caller's dialect. Raises [provider_error] for a reply that makes no sense."""
    raise NotImplementedError
