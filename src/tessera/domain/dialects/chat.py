"""POST /v1/chat/completions: from the wire to the counting view."""

from tessera.domain.dialects.body import Body
from tessera.domain.request import InferenceRequest


def parse_chat(body: Body) -> InferenceRequest:
    """The counting view of a chat completion. Raises [invalid_request, unsupported_parameter,
    unsupported_service_tier, unsupported_detail, invalid_image_url, invalid_base64_image] with `param` set."""
    raise NotImplementedError
