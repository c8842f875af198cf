"""A provider over a socket, and everything that can go wrong on it (fault rows F1 to F7, F9, F12 to F15; T29, T31)."""

import asyncio
import ssl
import time
from pathlib import Path

import pytest

from contract.providers.calls import make_call, read_all
from contract.providers.certificates import certificate
from contract.providers.openai_calls import KEY, PATIENT, failure, provider, server
from scripted_provider import (
    End,
    Pause,
    Received,
    Reply,
    ScriptedProvider,
    bytes_reply,
    chat_events,
    chat_reply,
    close_silently,
    endless_sse,
    error_reply,
    gzip_bomb,
    hang,
    head,
    html_reply,
    json_reply,
    raw_reply,
    refused_address,
    reset,
    sse_reply,
)
from tessera.adapters.providers.openai import OpenAIProvider, TransportLimits
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.request import Surface
from tessera.ports import UpstreamReply

pytestmark = pytest.mark.anyio

__all__ = ["certificate", "provider", "server"]


# ---- what is sent ----------------------------------------------------------------------------------------------


async def test_the_body_arrives_in_one_piece_with_its_length(
    server: ScriptedProvider, provider: OpenAIProvider
) -> None:
    whole = b'{"model":"x","pad":"' + b"a" * 3_000_000 + b'"}'
    view = memoryview(whole)
    pieces = (view[:10], whole[10:15], view[15:2_000_000], view[2_000_000:])
    await read_all(await provider.send(make_call(body=pieces)))
    request = server.received[0]
    assert request.body == whole
    assert request.headers["content-length"] == str(len(whole))
    assert "transfer-encoding" not in request.headers
    assert request.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("surface", "path"), [(Surface.CHAT, "/v1/chat/completions"), (Surface.RESPONSES, "/v1/responses")]
)
async def test_each_surface_has_its_path(
    server: ScriptedProvider, provider: OpenAIProvider, surface: Surface, path: str
) -> None:
    await read_all(await provider.send(make_call(surface)))
    assert (server.received[0].method, server.received[0].path) == ("POST", path)


async def test_of_the_callers_headers_only_the_harmless_go_on(
    server: ScriptedProvider, provider: OpenAIProvider
) -> None:
    callers = {
        "authorization": "Bearer sk-tess-live-secret",
        "x-api-key": "sk-tess-live-secret",
        "cookie": "session=1",
        "host": "evil.example",
        "OpenAI-Organization": "org-other",
        "x-forwarded-for": "10.0.0.1",
        "tessera-sandbox-fault": "status=500",
        "base_url": "http://evil.example",
        "OpenAI-Beta": "something=v1",
        "traceparent": "00-abc-def-01",
        "tracestate": "bad\r\nx-injected: 1",
    }
    await read_all(await provider.send(make_call(headers=callers)))
    headers = server.received[0].headers
    assert headers["authorization"] == f"Bearer {KEY}"
    assert headers["openai-beta"] == "something=v1"
    assert headers["traceparent"] == "00-abc-def-01"
    assert headers["x-client-request-id"] == "req_01test"
    assert headers["accept-encoding"] == "identity"
    assert set(headers) == {
        "host",
        "authorization",
        "openai-beta",
        "traceparent",
        "x-client-request-id",
        "accept-encoding",
        "accept",
        "content-type",
        "content-length",
        "user-agent",
    }


async def test_without_a_credential_none_is_sent() -> None:
    with ScriptedProvider() as server:
        provider = OpenAIProvider(server.base_url, None)
        await read_all(await provider.send(make_call()))
        assert "authorization" not in server.received[0].headers
        await provider.close()


async def test_cookies_are_neither_kept_nor_sent(server: ScriptedProvider, provider: OpenAIProvider) -> None:
    server.script(json_reply({}, headers={"set-cookie": "id=1; Path=/"}))
    await read_all(await provider.send(make_call()))
    await read_all(await provider.send(make_call()))
    assert "cookie" not in server.received[1].headers


async def test_the_environments_proxy_is_not_used(
    server: ScriptedProvider, monkeypatch: pytest.MonkeyPatch, provider: OpenAIProvider
) -> None:
    monkeypatch.setenv("http_proxy", refused_address())
    assert (await provider.send(make_call())).status == 200


async def test_a_redirect_is_not_followed_so_the_credential_stays(
    server: ScriptedProvider, provider: OpenAIProvider
) -> None:
    with ScriptedProvider() as elsewhere:
        server.script(bytes_reply(b"", status=307, headers={"location": elsewhere.base_url}))
        assert await failure(provider) is ErrorCode.PROVIDER_ERROR
        assert elsewhere.received == []


@pytest.mark.parametrize(
    "address",
    [
        "ftp://host/v1",
        "host/v1",
        "http://user:pw@host/v1",
        "https://host/v1?key=1",
        "https://host/v1#x",
        "http:///v1",
        "http://host:99999/v1",
        "",
    ],
)
def test_an_address_that_is_not_plain_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        OpenAIProvider(address, None)


def test_a_credential_with_a_line_break_is_refused() -> None:
    with pytest.raises(ValueError, match="printable"):
        OpenAIProvider("http://host/v1", "sk-a\r\nx: y")


# ---- what comes back -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [400, 401, 404, 429, 500, 503, 529])
async def test_an_error_status_is_an_answer_with_its_headers_and_body(
    server: ScriptedProvider, provider: OpenAIProvider, status: int
) -> None:
    server.script(error_reply(status, headers={"Retry-After": "7"}))
    reply = await provider.send(make_call())
    assert (reply.status, reply.headers["retry-after"]) == (status, "7")
    assert b"scripted" in await read_all(reply)


async def test_a_stream_arrives_piece_by_piece(server: ScriptedProvider, provider: OpenAIProvider) -> None:
    server.script(sse_reply(chat_events(["a", "b", "c"]), delay_s=0.05))
    reply = await provider.send(make_call(stream=True))
    started = time.monotonic()
    times = [time.monotonic() - started async for _ in reply.chunks()]
    await reply.close()
    assert len(times) >= 5
    assert times[-1] - times[0] > 0.1


async def test_a_connection_is_used_again_after_a_body_read_to_its_end(
    server: ScriptedProvider, provider: OpenAIProvider
) -> None:
    server.script(chat_reply(), sse_reply(chat_events(["a"])), error_reply(429), chat_reply())
    for stream in (False, True, False, False):
        await read_all(await provider.send(make_call(stream=stream)))
    assert server.connections == 1


async def test_closing_an_unread_stream_cuts_it_at_the_provider(
    server: ScriptedProvider, provider: OpenAIProvider
) -> None:
    server.script(endless_sse({"choices": []}))
    reply = await provider.send(make_call(stream=True))
    async for _ in reply.chunks():
        break
    await reply.close()
    await reply.close()
    assert await asyncio.to_thread(server.received[0].left_early.wait, 2)
    await read_all(await provider.send(make_call()))
    assert server.connections == 2


async def test_cancelling_a_call_before_its_answer_cuts_it_at_the_provider(
    server: ScriptedProvider, provider: OpenAIProvider
) -> None:
    server.script(hang())
    task = asyncio.create_task(provider.send(make_call()))
    await asyncio.sleep(0.1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await asyncio.to_thread(server.received[0].left_early.wait, 2)


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(html_reply(), id="html with status 200"),
        pytest.param(reset(), id="reset"),
        pytest.param(close_silently(), id="closed without a byte"),
        pytest.param(raw_reply(b"hello, is this HTTP?\r\n\r\n", end=End.CLOSE), id="not HTTP"),
        pytest.param(raw_reply(b"HTTP/1.1 200 OK\r\nX: " + b"a" * 100_000), id="endless header"),
        pytest.param(gzip_bomb(1_000_000), id="compressed although not accepted"),
        pytest.param(bytes_reply(b"{}", headers={"content-encoding": "gzip"}, cut_at=1), id="truncated gzip"),
        pytest.param(bytes_reply(b'{"a": 1}', cut_at=4), id="cut short"),
        pytest.param(bytes_reply(b"{}", content_length=50, end=End.CLOSE), id="length too long"),
        pytest.param(bytes_reply(b" " * 300_000), id="larger than accepted"),
        pytest.param(
            raw_reply(
                head(200, {"content-type": "application/json", "transfer-encoding": "chunked"}),
                Pause(0.05),
                b"zz\r\n",
                end=End.CLOSE,
            ),
            id="broken chunk",
        ),
    ],
)
async def test_a_broken_reply_is_a_provider_error(
    server: ScriptedProvider, provider: OpenAIProvider, reply: Reply
) -> None:
    server.script(reply)
    assert await failure(provider) is ErrorCode.PROVIDER_ERROR
    assert len(server.received) == 1
    assert (await provider.send(make_call())).status == 200


async def test_a_length_that_is_too_short_does_not_spill_into_the_next_reply(
    server: ScriptedProvider, provider: OpenAIProvider
) -> None:
    server.script(bytes_reply(b'{"a":1}{"b":2}', content_length=7))
    assert await failure(provider) is ErrorCode.PROVIDER_ERROR
    assert b"chatcmpl" in await read_all(await provider.send(make_call()))


async def test_a_whole_reply_to_a_streamed_call_is_a_provider_error(
    server: ScriptedProvider, provider: OpenAIProvider
) -> None:
    assert await failure(provider, stream=True) is ErrorCode.PROVIDER_ERROR


@pytest.mark.parametrize("cut_at", [0, 1, 30, 200])
async def test_a_stream_cut_anywhere_is_a_provider_error_after_what_arrived(
    server: ScriptedProvider, provider: OpenAIProvider, cut_at: int
) -> None:
    server.script(sse_reply(chat_events(["a", "b"]), cut_at=cut_at))
    reply = await provider.send(make_call(stream=True))
    seen: list[bytes] = []

    async def read() -> None:
        async for piece in reply.chunks():
            seen.append(piece)

    with pytest.raises(TesseraError) as caught:
        await read()
    await reply.close()
    assert caught.value.code is ErrorCode.PROVIDER_ERROR
    assert len(b"".join(seen)) == cut_at


async def test_nobody_listening_is_a_provider_error() -> None:
    provider = OpenAIProvider(refused_address(), KEY, PATIENT)
    assert await failure(provider) is ErrorCode.PROVIDER_ERROR
    await provider.close()


async def test_a_name_that_does_not_resolve_is_a_provider_error() -> None:
    provider = OpenAIProvider("http://does-not-exist.invalid/v1", KEY, PATIENT)
    assert await failure(provider) is ErrorCode.PROVIDER_ERROR
    await provider.close()


@pytest.mark.parametrize("trusted", [False, True])
async def test_a_certificate_is_verified_before_anything_is_sent(certificate: Path, trusted: bool) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    got: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        got.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(head(200, {"content-type": "application/json", "content-length": "2"}) + b"{}")
        writer.close()

    listener = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
    trust = ssl.create_default_context(cafile=certificate.parent / "cert.pem" if trusted else None)
    address = f"https://127.0.0.1:{listener.sockets[0].getsockname()[1]}/v1"
    provider = OpenAIProvider(address, KEY, PATIENT, tls=trust)
    if trusted:
        assert await read_all(await provider.send(make_call())) == b"{}"
    else:
        assert await failure(provider) is ErrorCode.PROVIDER_ERROR
        assert got == []
    await provider.close()
    listener.close()


# ---- the pool --------------------------------------------------------------------------------------------------


async def test_a_kept_connection_that_the_server_closed_is_replaced_and_the_call_sent_once(
    server: ScriptedProvider, provider: OpenAIProvider
) -> None:
    first = chat_reply()
    server.script(Reply(first.pieces, End.CLOSE), chat_reply("second"))
    await read_all(await provider.send(make_call()))
    await asyncio.sleep(0.05)
    assert b"second" in await read_all(await provider.send(make_call()))
    assert len(server.received) == 2


async def test_a_call_that_was_sent_is_never_sent_again_by_itself(
    server: ScriptedProvider, provider: OpenAIProvider
) -> None:
    server.script(chat_reply(), close_silently(), chat_reply())
    await read_all(await provider.send(make_call()))
    assert await failure(provider) is ErrorCode.PROVIDER_ERROR
    assert len(server.received) == 2


async def test_past_the_connection_limit_a_call_is_refused_at_once(server: ScriptedProvider) -> None:
    provider = OpenAIProvider(server.base_url, KEY, TransportLimits(connections_max=2))
    server.always = sse_reply(["x"], end=End.HANG)
    held: list[UpstreamReply] = [await provider.send(make_call(stream=True)) for _ in range(2)]
    assert await failure(provider, stream=True) is ErrorCode.OVERLOADED
    await held[0].close()
    held[0] = await provider.send(make_call(stream=True))
    for reply in held:
        await reply.close()
    await provider.close()


async def test_failed_calls_give_their_place_back(server: ScriptedProvider) -> None:
    provider = OpenAIProvider(server.base_url, KEY, TransportLimits(connections_max=1))
    server.script(reset(), html_reply(), bytes_reply(b"", status=302, headers={"location": "/"}))
    for _ in range(3):
        assert await failure(provider) is ErrorCode.PROVIDER_ERROR
    assert (await provider.send(make_call())).status == 200
    await provider.close()


async def test_an_early_refusal_of_a_large_body_is_the_answer(server: ScriptedProvider) -> None:
    provider = OpenAIProvider(server.base_url, KEY, PATIENT)

    def refuse(_: Received) -> Reply:
        return error_reply(413)

    server.script(refuse)
    reply = await provider.send(make_call(body=(b"a" * 5_000_000,)))
    assert reply.status == 413
    await reply.close()
    await provider.close()
