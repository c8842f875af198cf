"""How many tokens a call is: images by each model's own dated rule, text by tokenizer and framing.

Always holds: integers and fractions only; `predicted` is what we expect to be billed, `max` is never below what a
provider that keeps to its rule bills; every count carries its rule, its source and how sure we are.
"""

from tessera.domain.tokens.counts import Confidence, ImageCount, Span, TokenCount
from tessera.domain.tokens.framing import Framing, ToolFraming
from tessera.domain.tokens.images import cheapest_detail, count_image, flat_rules
from tessera.domain.tokens.requests import count_request
from tessera.domain.tokens.rules import ImageRule, ImageRules, Level, Method
from tessera.domain.tokens.texts import count_text

__all__ = [
    "Confidence",
    "Framing",
    "ImageCount",
    "ImageRule",
    "ImageRules",
    "Level",
    "Method",
    "Span",
    "TokenCount",
    "ToolFraming",
    "cheapest_detail",
    "count_image",
    "count_request",
    "count_text",
    "flat_rules",
]
