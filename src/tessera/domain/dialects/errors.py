"""OpenAI's error object."""

from typing import Any

from tessera.domain.errors import TesseraError
from tessera.domain.request import Surface


def error_object(surface: Surface, error: TesseraError) -> dict[str, Any]:
    """`{"error": {message, type, param, code, …details}}` in the surface's dialect."""
    raise NotImplementedError
