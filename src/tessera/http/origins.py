"""Browsers on other origins: who may call from one, and what of a reply a page may read."""

from collections.abc import Sequence

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

READABLE = (
    *("x-request-id", "retry-after", "x-should-retry"),
    *("tessera-price-max", "tessera-charge", "tessera-replayed", "tessera-count", "idempotent-replayed"),
    *(f"x-ratelimit-{what}-{unit}" for unit in ("requests", "tokens") for what in ("limit", "remaining", "reset")),
)
"""Headers of replies that a page may read. Without being named here, only a handful of the usual ones could be."""


def allow_origins(app: ASGIApp, origins: Sequence[str]) -> ASGIApp:
    """The application, open to pages of these origins."""
    return CORSMiddleware(
        app, allow_origins=list(origins), allow_methods=["*"], allow_headers=["*"], expose_headers=READABLE
    )
