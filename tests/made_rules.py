"""Image rules made for one test."""

from datetime import date

from tessera.domain.request import Detail
from tessera.domain.tokens.counts import Confidence
from tessera.domain.tokens.rules import ImageRule, Method


def rule_of(method: Method = Method.PATCH32, **figures: object) -> ImageRule:
    """A rule with the given figures and nothing else."""
    return ImageRule(
        **{
            "id": "test",
            "method": method,
            "valid_from": date(2026, 1, 1),
            "valid_until": None,
            "source": "test",
            "confidence": Confidence.PUBLISHED,
            "levels": {},
            "auto": Detail.AUTO,
            **figures,
        }  # type: ignore[arg-type]
    )
