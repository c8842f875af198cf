"""Amounts as callers write them: read exactly, or refused by name."""

from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.money import parse_usd


def asked_usd(text: str, param: str) -> int:
    """Nano-dollars, as `parse_usd` reads them. Raises [invalid_request] naming the parameter."""
    try:
        return parse_usd(text)
    except ValueError as error:
        raise TesseraError(ErrorCode.INVALID_REQUEST, f"{param}: {error}.", param=param) from None
