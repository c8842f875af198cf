"""The results of counting."""

from enum import StrEnum

import msgspec


class Confidence(StrEnum):
    """How well a rule is known: printed by its vendor, read off real usage, inherited from a neighbour, or not."""

    PUBLISHED = "published"
    MEASURED = "measured"
    INFERRED = "inferred"
    UNKNOWN = "unknown"


class Span(msgspec.Struct, frozen=True):
    """A number of tokens: what is expected, and what it can be at most. 0 ≤ predicted ≤ max."""

    predicted: int
    max: int


NO_TOKENS = Span(0, 0)


class ImageCount(msgspec.Struct, frozen=True, kw_only=True):
    """The tokens of one image under one rule.

    `detail` is what was asked, `detail_used` what it resolved to. `patches` (after sizing, before the multiplier) or
    `tiles` is None where the rule has no such unit. `multiplier` is a decimal string such as `1.62`.
    `sized_width`, `sized_height` are the pixels the model looks at. `rule` is the stable id of the rule's row,
    `rule_source` the public document it comes from, `valid_from` its first day (ISO date).
    """

    detail: str
    detail_used: str
    width: int
    height: int
    rule: str
    sized_width: int
    sized_height: int
    patches: int | None
    tiles: int | None
    multiplier: str
    tokens: Span
    confidence: Confidence
    rule_source: str
    valid_from: str


class TokenCount(msgspec.Struct, frozen=True, kw_only=True):
    """The input tokens of one call: text with its framing and tools, and each image."""

    text: Span
    images: tuple[ImageCount, ...]
    text_confidence: Confidence

    @property
    def image(self) -> Span:
        """All images together."""
        if not self.images:
            return NO_TOKENS
        return Span(sum(i.tokens.predicted for i in self.images), sum(i.tokens.max for i in self.images))

    @property
    def total(self) -> Span:
        """Text and images together: the call's input."""
        if not self.images:
            return self.text
        image = self.image
        return Span(self.text.predicted + image.predicted, self.text.max + image.max)
