"""How many tokens a call is: images by each model's own dated rule, text by tokenizer and framing.

Always holds: integers and fractions only; `predicted` is what we expect to be billed, `max` is never below what a
provider that keeps to its rule bills; every count carries its rule, its source and how sure we are.
"""

from tessera.domain.tokens.counts import Confidence, ImageCount, Span, TokenCount

__all__ = ["Confidence", "ImageCount", "Span", "TokenCount"]
