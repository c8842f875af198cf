"""Faults on request: what the header `Tessera-Sandbox-Fault` can ask of the sandbox, and how each is done."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping

import msgspec

from tessera.adapters.providers.inside.reply import InsideReply, in_turn, reply_headers
from tessera.domain.dialects.render import DONE
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.request import Surface
from tessera.ports import UpstreamCall

HEADER = "tessera-sandbox-fault"
PIECE_BYTES = 64

_ERRORS = {
    400: ("invalid_request_error", "invalid_request"),
    401: ("invalid_request_error", "invalid_api_key"),
    403: ("invalid_request_error", "permission_denied"),
    404: ("invalid_request_error", "model_not_found"),
    429: ("rate_limit_error", "rate_limit_exceeded"),
    503: ("server_error", "server_is_overloaded"),
}


class Faults(msgspec.Struct, frozen=True, kw_only=True):
    """The faults asked for; None or False where not. `…_ms` are milliseconds, `…_chunks` pieces of the body."""

    status: int | None = None
    retry_after: int | None = None
    delay_ms: int | None = None
    drip_ms: int | None = None
    cut_after_chunks: int | None = None
    error_after_chunks: int | None = None
    timeout: bool = False
    refused: bool = False
    malformed: bool = False
    no_usage: bool = False
    usage_twice: bool = False
    refusal: bool = False


_RANGES = {
    "status": (400, 599),
    "retry_after": (0, 3600),
    "delay_ms": (0, 60_000),
    "drip_ms": (0, 10_000),
    "cut_after_chunks": (0, 100_000),
    "error_after_chunks": (0, 100_000),
}
_SWITCHES = ("timeout", "refused", "malformed", "no_usage", "usage_twice", "refusal")
_STREAMS_ONLY = ("error_after_chunks", "usage_twice")
NONE = Faults()


def read_faults(headers: Mapping[str, str], *, stream: bool) -> Faults:
    """The faults a call's headers ask for. Raises [invalid_request] naming the known ones for any other."""
    text = next((value for name, value in headers.items() if name.lower() == HEADER), "")
    found: dict[str, int | bool] = {}
    for part in text.replace(";", ",").split(","):
        name, _, value = (piece.strip() for piece in part.partition("="))
        if not name and not value:
            continue
        if name in _SWITCHES and not value:
            found[name] = True
        elif name in _RANGES:
            found[name] = _number(name, value)
        else:
            raise _mistake(f"{part.strip()!r} is not a fault the sandbox knows.")
        if name in _STREAMS_ONLY and not stream:
            raise _mistake(f"{name} needs a streamed call.")
    return msgspec.convert(found, Faults) if found else NONE


def _number(name: str, value: str) -> int:
    low, high = _RANGES[name]
    if not (value.isascii() and value.isdigit() and len(value) <= 6 and low <= int(value) <= high):
        raise _mistake(f"{name} takes a whole number from {low} to {high}.")
    return int(value)


def _mistake(what: str) -> TesseraError:
    known = ", ".join([*(f"{name}=N" for name in _RANGES), *_SWITCHES])
    return TesseraError(
        ErrorCode.INVALID_REQUEST,
        f"{what} The header Tessera-Sandbox-Fault takes, separated by commas: {known}.",
        param="Tessera-Sandbox-Fault",
    )


async def before_head(faults: Faults) -> None:
    """What goes wrong before any answer. Raises [provider_timeout, provider_error]."""
    if faults.delay_ms:
        await asyncio.sleep(faults.delay_ms / 1000)
    if faults.timeout:
        raise TesseraError(ErrorCode.PROVIDER_TIMEOUT, "The provider took too long to answer.")
    if faults.refused:
        raise TesseraError(ErrorCode.PROVIDER_ERROR, "The provider could not be reached.")


def error_answer(call: UpstreamCall, status: int, retry_after: int | None) -> InsideReply:
    """An HTTP error as OpenAI writes it."""
    kind, code = _ERRORS.get(status, ("server_error" if status >= 500 else "invalid_request_error", "sandbox_fault"))
    error = {"message": f"The sandbox was asked for status {status}.", "type": kind, "param": None, "code": code}
    headers = reply_headers(call, "application/json")
    if retry_after is not None:
        headers["retry-after"] = str(retry_after)
    return InsideReply(status, headers, in_turn([msgspec.json.encode({"error": error})]))


def malformed_answer(call: UpstreamCall) -> InsideReply:
    """A success that is a web page."""
    page = b"<!doctype html><html><body>Bad gateway</body></html>"
    return InsideReply(200, reply_headers(call, "text/html"), in_turn([page]))


async def faulty(pieces: Iterable[bytes], faults: Faults, call: UpstreamCall) -> AsyncGenerator[bytes, None]:
    """The body with its faults. Raises [provider_error] where it is cut off."""
    parts = list(pieces)
    if faults.usage_twice:
        parts = _with_usage_twice(parts, call.surface)
    if not call.stream and (faults.drip_ms is not None or faults.cut_after_chunks is not None):
        whole = b"".join(parts)
        parts = [whole[start : start + PIECE_BYTES] for start in range(0, len(whole), PIECE_BYTES)]
    for number, part in enumerate(parts):
        if faults.cut_after_chunks is not None and number >= faults.cut_after_chunks:
            raise TesseraError(ErrorCode.PROVIDER_ERROR, "The provider closed the connection.")
        if faults.error_after_chunks is not None and number >= faults.error_after_chunks:
            yield _ERROR_FRAMES[call.surface](number)
            return
        if faults.drip_ms:
            await asyncio.sleep(faults.drip_ms / 1000)
        yield part


def _with_usage_twice(frames: list[bytes], surface: Surface) -> list[bytes]:
    if surface is Surface.CHAT:
        return [*frames[:-2], frames[-2], frames[-2], DONE]
    return [*frames, frames[-1]]


def _chat_error(_number: int) -> bytes:
    error = {"message": "The sandbox was asked to fail here.", "type": "server_error", "param": None, "code": None}
    return b"data: " + msgspec.json.encode({"error": error}) + b"\n\n"


def _responses_error(number: int) -> bytes:
    event = {
        "type": "error",
        "sequence_number": number,
        "code": "server_error",
        "message": "The sandbox was asked to fail here.",
        "param": None,
    }
    return b"event: error\ndata: " + msgspec.json.encode(event) + b"\n\n"


_ERROR_FRAMES: dict[Surface, Callable[[int], bytes]] = {
    Surface.CHAT: _chat_error,
    Surface.RESPONSES: _responses_error,
}
