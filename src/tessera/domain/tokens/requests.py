"""Counting a whole call."""

from collections.abc import Callable, Iterable, Sequence

from tessera.domain.request import InferenceRequest, Surface
from tessera.domain.tokens.counts import TokenCount
from tessera.domain.tokens.framing import Framing
from tessera.domain.tokens.images import count_image
from tessera.domain.tokens.rules import ImageRules
from tessera.domain.tokens.texts import count_text


def count_request(
    request: InferenceRequest,
    image_sizes: Sequence[tuple[int, int]],
    rules: ImageRules | None,
    framing: Framing,
    counter: Callable[[str], int],
    called_on: Iterable[Surface] = (),
) -> TokenCount:
    """The input tokens of a call: its text, and each image at its own detail. Pure; safe in any thread.

    `image_sizes` are (width, height) as displayed, one for each of `request.images`; `rules` may be None only when
    there are none; `called_on` are the surfaces a provider may be called on. Raises as `count_image`, ValueError when
    sizes or rules are missing.
    """
    if len(image_sizes) != len(request.images) or (request.images and rules is None):
        raise ValueError("every image of a request needs its size, and the model its image rules")
    text, confidence = count_text(request, framing, counter, called_on)
    images = []
    for part, (width, height) in zip(request.images, image_sizes, strict=True):
        assert rules is not None
        images.append(count_image(rules, width, height, part.detail, param=part.param or None))
    return TokenCount(text=text, images=tuple(images), text_confidence=confidence)
