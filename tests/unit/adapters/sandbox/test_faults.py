"""Faults on request: each does what its name says, and any other is refused with the list of those there are."""

import json
import time
from collections.abc import Sequence
from typing import Any

import pytest

from contract.providers.calls import SURFACES, count_words, events_of, make_call, read_all
from tessera.adapters.providers.sandbox import SandboxProvider
from tessera.adapters.providers.sandbox.faults import NONE, read_faults
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.request import Surface
from tessera.ports import UpstreamReply

pytestmark = pytest.mark.anyio


async def no_pictures(images: Sequence[bytes], question: str) -> str:
    return f"{len(images)} pictures"


async def send(fault: str, surface: Surface = Surface.CHAT, *, stream: bool = False) -> UpstreamReply:
    sandbox = SandboxProvider(no_pictures, count_words)
    return await sandbox.send(make_call(surface, stream=stream, headers={"Tessera-Sandbox-Fault": fault}))


async def drain(reply: UpstreamReply, into: list[bytes]) -> None:
    async for piece in reply.chunks():
        into.append(piece)


@pytest.mark.parametrize(
    "text",
    [
        "explode",
        "status",
        "status=200",
        "status=600",
        "status=abc",
        "status=-1",
        "status=٤٢٩",
        "timeout=1",
        "delay_ms=999999999999",
        "=5",
        "cut_after_chunks",
        "status=429,boom",
        "STATUS=429",
    ],
)
def test_an_unknown_fault_is_refused_with_the_known_ones(text: str) -> None:
    with pytest.raises(TesseraError) as caught:
        read_faults({"tessera-sandbox-fault": text}, stream=False)
    assert caught.value.code is ErrorCode.INVALID_REQUEST
    assert caught.value.param == "Tessera-Sandbox-Fault"
    assert "cut_after_chunks=N" in caught.value.message


@pytest.mark.parametrize("text", ["usage_twice", "error_after_chunks=1"])
def test_faults_of_streams_need_a_stream(text: str) -> None:
    with pytest.raises(TesseraError, match="needs a streamed call"):
        read_faults({"tessera-sandbox-fault": text}, stream=False)


@pytest.mark.parametrize("headers", [{}, {"tessera-sandbox-fault": ""}, {"tessera-sandbox-fault": " ; , "}])
def test_without_the_header_nothing_goes_wrong(headers: dict[str, str]) -> None:
    assert read_faults(headers, stream=False) == NONE


def test_faults_combine_with_commas_or_semicolons() -> None:
    found = read_faults({"TESSERA-Sandbox-Fault": "status=503; retry_after = 3,delay_ms=10"}, stream=True)
    assert (found.status, found.retry_after, found.delay_ms) == (503, 3, 10)


@pytest.mark.parametrize("status", [400, 401, 404, 418, 429, 500, 503])
async def test_a_status_is_an_error_answer(status: int) -> None:
    reply = await send(f"status={status},retry_after=2", stream=True)
    assert (reply.status, reply.headers["retry-after"]) == (status, "2")
    assert reply.headers["content-type"] == "application/json"
    assert json.loads(await read_all(reply))["error"]["code"]


@pytest.mark.parametrize(
    ("fault", "code"), [("timeout", ErrorCode.PROVIDER_TIMEOUT), ("refused", ErrorCode.PROVIDER_ERROR)]
)
async def test_no_answer_at_all(fault: str, code: ErrorCode) -> None:
    with pytest.raises(TesseraError) as caught:
        await send(fault)
    assert caught.value.code is code


async def test_a_delay_comes_before_the_head() -> None:
    started = time.monotonic()
    await (await send("delay_ms=80")).close()
    assert time.monotonic() - started > 0.07


@pytest.mark.parametrize("surface", SURFACES)
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("chunks", [0, 1, 3])
async def test_a_cut_comes_after_so_many_chunks(surface: Surface, stream: bool, chunks: int) -> None:
    reply = await send(f"cut_after_chunks={chunks}", surface, stream=stream)
    pieces: list[bytes] = []
    with pytest.raises(TesseraError) as caught:
        await drain(reply, pieces)
    await reply.close()
    assert caught.value.code is ErrorCode.PROVIDER_ERROR
    assert len(pieces) == chunks


async def test_a_whole_reply_cut_late_is_incomplete_json() -> None:
    pieces: list[bytes] = []
    with pytest.raises(TesseraError):
        await drain(await send("cut_after_chunks=2"), pieces)
    with pytest.raises(json.JSONDecodeError):
        json.loads(b"".join(pieces))


@pytest.mark.parametrize("stream", [False, True])
async def test_a_drip_waits_before_each_piece(stream: bool) -> None:
    pieces: list[bytes] = []
    started = time.monotonic()
    await drain(await send("drip_ms=3", stream=stream), pieces)
    assert time.monotonic() - started > 0.003 * len(pieces)
    assert len(pieces) > 5


@pytest.mark.parametrize("surface", SURFACES)
async def test_usage_can_be_missing(surface: Surface) -> None:
    assert not json.loads(await read_all(await send("no_usage", surface))).get("usage")
    events = events_of(await read_all(await send("no_usage", surface, stream=True)))
    assert not any(event.get("usage") or (event.get("response") or {}).get("usage") for event in events)


@pytest.mark.parametrize("surface", SURFACES)
async def test_usage_can_come_twice(surface: Surface) -> None:
    events = events_of(await read_all(await send("usage_twice", surface, stream=True)))
    counted: list[Any] = [event.get("usage") or (event.get("response") or {}).get("usage") for event in events]
    assert len([usage for usage in counted if usage]) == 2


@pytest.mark.parametrize("surface", SURFACES)
async def test_a_stream_can_fail_in_the_middle(surface: Surface) -> None:
    raw = await read_all(await send("error_after_chunks=4", surface, stream=True))
    last = events_of(raw)[-1]
    assert last.get("error") or last["type"] == "error"
    assert b"[DONE]" not in raw


async def test_a_malformed_reply_is_a_web_page_with_status_200() -> None:
    reply = await send("malformed")
    assert (reply.status, reply.headers["content-type"]) == (200, "text/html")
    assert (await read_all(reply)).startswith(b"<!doctype html>")


@pytest.mark.parametrize("surface", SURFACES)
async def test_a_refusal_can_be_asked_for(surface: Surface) -> None:
    reply = json.loads(await read_all(await send("refusal", surface)))
    if surface is Surface.CHAT:
        assert reply["choices"][0]["message"]["refusal"]
    else:
        assert reply["output"][0]["content"][0]["type"] == "refusal"
