"""The upstream body on the caller's own surface: the caller's bytes with a handful of values replaced."""

from collections.abc import Mapping

import msgspec

from tessera.domain.dialects.body import Body
from tessera.domain.request import InferenceRequest, Surface, Tier


class Edits(msgspec.Struct, frozen=True, kw_only=True):
    """What Tessera changes in a body.

    `model` is the upstream's name, `output_cap` the cap that was held for (tokens, ≥ 1). `tier` is sent explicitly;
    None leaves the caller's field alone, for servers that know no tiers. `include_usage` asks a chat stream for its
    usage chunk. `images` maps an image's index to the whole data URL (ASCII) that takes its address's place.
    """

    model: str
    output_cap: int
    tier: Tier | None = None
    include_usage: bool = True
    images: Mapping[int, bytes | memoryview] = {}


def splice(surface: Surface, body: Body, request: InferenceRequest, edits: Edits) -> list[bytes | memoryview]:
    """The body in pieces to be sent one after the other; every unchanged value is byte for byte the caller's."""
    raise NotImplementedError
