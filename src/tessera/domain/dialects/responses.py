"""POST /v1/responses: from the wire to the counting view."""

from tessera.domain.dialects.body import Body
from tessera.domain.request import InferenceRequest


def parse_responses(body: Body) -> InferenceRequest:
    """The counting view of a response. Raises the same errors as `parse_chat`."""
    raise NotImplementedError
