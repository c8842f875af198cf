"""HTTP at its edges (security-tests T10, T17, T29, T32, T33): whatever bytes come, one clear refusal, or silence."""

import concurrent.futures
import contextlib
import itertools
import json
import resource
import time
from pathlib import Path

import pytest

from raw_http import CLOSED, OPEN, chat, dial, listen, request, talk
from servers import Account, TesseraServer, running_server

CHAT = "/v1/chat/completions"
HELLO = json.dumps({"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]}).encode()


# ---- what is not HTTP ----------------------------------------------------------------------------------------------

SMUGGLED = "GET /v1/models HTTP/1.1\r\nHost: test\r\n\r\n"
MALFORMED = {
    "length and chunked": f"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{SMUGGLED}",
    "chunked and length": f"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n{SMUGGLED}",
    "two lengths": f"Content-Length: 2\r\nContent-Length: 5\r\n\r\n{{}}{SMUGGLED}",
    "the same length twice": f"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{{}}{SMUGGLED}",
    "a list of lengths": "Content-Length: 2, 2\r\n\r\n{}",
    "a negative length": "Content-Length: -1\r\n\r\n{}",
    "a signed length": "Content-Length: +2\r\n\r\n{}",
    "a hexadecimal length": "Content-Length: 0x2\r\n\r\n{}",
    "a length beyond 64 bits": "Content-Length: 99999999999999999999999\r\n\r\n{}",
    "a chunk size with a sign": "Transfer-Encoding: chunked\r\n\r\n+2\r\n{}\r\n0\r\n\r\n",
    "a chunk size with a prefix": "Transfer-Encoding: chunked\r\n\r\n0x2\r\n{}\r\n0\r\n\r\n",
    "a chunk size that is no number": "Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
    "a chunk size beyond 64 bits": "Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n{}\r\n0\r\n\r\n",
    "a negative chunk size": "Transfer-Encoding: chunked\r\n\r\n-1\r\n{}\r\n0\r\n\r\n",
    "chunks that end in bare line feeds": "Transfer-Encoding: chunked\r\n\r\n2\n{}\n0\n\n",
    "a chunk longer than it says": "Transfer-Encoding: chunked\r\n\r\n1\r\n{}\r\n0\r\n\r\n",
    "chunked twice": "Transfer-Encoding: chunked, chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "an unknown transfer coding": "Transfer-Encoding: xchunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "a coding before chunked": "Transfer-Encoding: gzip, chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "identity with a length": "Transfer-Encoding: identity\r\nContent-Length: 2\r\n\r\n{}",
    "white space before the colon": "Content-Length : 2\r\n\r\n{}",
    "a folded header": "X-A: b\r\n c\r\nContent-Length: 2\r\n\r\n{}",
    "a header that ends in a bare line feed": "X-A: b\nContent-Length: 2\r\n\r\n{}",
    "a bare carriage return in a value": "X-A: b\rc\r\nContent-Length: 2\r\n\r\n{}",
    "a NUL in a value": "X-A: b\0c\r\nContent-Length: 2\r\n\r\n{}",
    "a NUL in a name": "X\0A: b\r\nContent-Length: 2\r\n\r\n{}",
    "a line without a colon": "X-A\r\nContent-Length: 2\r\n\r\n{}",
}


@pytest.mark.parametrize("lines", MALFORMED.values(), ids=MALFORMED.keys())
def test_a_request_that_two_readers_could_read_differently_is_refused_once(
    hurried: TesseraServer, key: str, lines: str
) -> None:
    heard = talk(hurried.base_url, chat(key) + lines.encode("latin-1"))
    assert heard.status == 400
    assert heard.replies == 1
    assert heard.error()["code"] == "invalid_request"


@pytest.mark.parametrize(
    "start",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"GET / HTTP/9.9\r\nHost: test\r\n\r\n",
        b"GET /\r\n\r\n",
        b"GET /health z HTTP/1.1\r\nHost: test\r\n\r\n",
        b"GET /v1/\xff\xfe HTTP/1.1\r\nHost: test\r\n\r\n",
        b"BREW /healthz HTTP/1.1\r\nHost: test\r\n\r\n",
        b"get /healthz HTTP/1.1\r\nHost: test\r\n\r\n",
        b"CONNECT inner.example:443 HTTP/1.1\r\nHost: test\r\n\r\n",
        b"GET /healthz HTTP/1.1\nHost: test\n\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
)
def test_what_is_not_a_request_is_refused_and_the_connection_closed(hurried: TesseraServer, start: bytes) -> None:
    heard = talk(hurried.base_url, start)
    assert (heard.status, heard.end) == (400, CLOSED)


def test_garbage_behind_a_request_does_not_become_its_answer(hurried: TesseraServer, key: str) -> None:
    slow = request("POST", CHAT, key, HELLO, "Tessera-Sandbox-Fault: delay_ms=1500")
    heard = talk(hurried.base_url, slow + b"\x16\x03\x01garbage\r\n\r\n")
    assert (heard.data, heard.end) == (b"", CLOSED)


def test_a_second_head_that_drips_does_not_write_into_the_first_answer(hurried: TesseraServer, key: str) -> None:
    slow = request("POST", CHAT, key, HELLO, "Tessera-Sandbox-Fault: delay_ms=6000")
    heard = talk(hurried.base_url, slow + b"GET /healthz HTTP/1.1\r\nX-")
    assert (heard.data, heard.end) == (b"", CLOSED)


def test_pipelined_requests_are_answered_in_order(hurried: TesseraServer, key: str) -> None:
    heard = talk(hurried.base_url, request("POST", CHAT, key, HELLO) + request("GET", "/v1/models/gpt-4o", key) * 3)
    assert heard.replies == 4
    assert heard.data.index(b"chat.completion") < heard.data.index(b'"owned_by"')


def test_an_offer_of_another_protocol_is_declined_and_the_request_served(hurried: TesseraServer, key: str) -> None:
    offer = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__")
    heard = talk(hurried.base_url, request("POST", CHAT, key, HELLO, *offer) + request("GET", "/healthz"))
    assert (heard.status, heard.replies, heard.end) == (200, 2, OPEN)
    assert b"chat.completion" in heard.data


# ---- slow and endless ----------------------------------------------------------------------------------------------


ENDLESS_BYTES = 256_000_000


def drip(connection, seconds: float, byte: bytes = b" ") -> float:
    """Sends a byte at a time until the server closes; how long that took."""
    started = time.monotonic()
    connection.settimeout(0.1)
    while time.monotonic() - started < seconds:
        try:
            connection.sendall(byte)
            if connection.recv(65_536) == b"":
                break
        except TimeoutError:
            continue
        except ConnectionError:
            break
    return time.monotonic() - started


def test_a_body_at_one_byte_at_a_time_is_cut_in_time(hurried: TesseraServer, key: str) -> None:
    with dial(hurried.base_url) as slow:
        slow.sendall(chat(key, "Content-Length: 100000") + b"\r\n")
        assert drip(slow, 15) < 10


def test_a_body_that_stands_still_is_answered_408(hurried: TesseraServer, key: str) -> None:
    heard = talk(hurried.base_url, chat(key, "Content-Length: 100") + b"\r\n{")
    assert (heard.status, heard.end) == (408, CLOSED)
    assert heard.error()["code"] == "request_timeout"


@pytest.mark.parametrize("path", [CHAT, "/v1/models", "/nothing", "/healthz"])
def test_a_body_nobody_asked_for_is_not_waited_for(hurried: TesseraServer, path: str) -> None:
    """Without a key, or where no body belongs, the reply comes at once and the rest of the body is not read."""
    method = "POST" if path == CHAT else "GET"
    with dial(hurried.base_url) as slow:
        slow.sendall(request(method, path, None, None, "Content-Length: 50000000"))
        heard = listen(slow)
        assert heard.status in (200, 401, 404)
        assert heard.end == CLOSED


def test_empty_lines_between_requests_do_not_keep_a_connection(hurried: TesseraServer) -> None:
    with dial(hurried.base_url) as slow:
        slow.sendall(request("GET", "/healthz"))
        assert slow.recv(65_536).startswith(b"HTTP/1.1 200")
        assert drip(slow, 15, b"\r\n") < 8


def test_a_body_beyond_the_limit_is_refused_without_being_read(hurried: TesseraServer, key: str) -> None:
    heard = talk(hurried.base_url, chat(key, "Content-Length: 1000001") + b"\r\n")
    assert (heard.status, heard.end) == (413, CLOSED)


def test_a_chunked_body_without_end_is_cut_at_the_limit(hurried: TesseraServer, key: str) -> None:
    """The server throws away up to 32 MiB more, so that its refusal is read; the kernel may hold as much again."""
    sent = 0
    chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    with dial(hurried.base_url) as endless:
        endless.sendall(chat(key, "Transfer-Encoding: chunked") + b"\r\n")
        with contextlib.suppress(ConnectionError):
            while sent < ENDLESS_BYTES:
                endless.sendall(chunk)
                sent += len(chunk)
    assert sent < ENDLESS_BYTES


@pytest.mark.parametrize("head", ["GET /" + "a" * 400_000, "GET /healthz?" + "b" * 400_000])
def test_a_target_without_end_is_refused(hurried: TesseraServer, head: str) -> None:
    heard = talk(hurried.base_url, head.encode())
    assert heard.status in (400, 431)
    assert heard.end == CLOSED


def test_a_client_that_waits_for_100_continue_is_refused_before_it_sends(hurried: TesseraServer, key: str) -> None:
    nobody = request("POST", CHAT, None, None, "Content-Length: 500000", "Expect: 100-continue")
    assert talk(hurried.base_url, nobody).status == 401
    large = request("POST", CHAT, key, None, "Content-Length: 2000000", "Expect: 100-continue")
    assert talk(hurried.base_url, large).status == 413
    with dial(hurried.base_url) as polite:
        polite.sendall(chat(key, f"Content-Length: {len(HELLO)}", "Expect: 100-continue") + b"\r\n")
        assert polite.recv(1000).startswith(b"HTTP/1.1 100 ")
        polite.sendall(HELLO)
        assert listen(polite).status == 200


def test_a_client_that_leaves_within_its_body_leaves_nothing_held(hurried: TesseraServer) -> None:
    account = hurried.account()
    for cut in range(0, len(HELLO), 7):
        with dial(hurried.base_url) as leaving:
            leaving.sendall(request("POST", CHAT, account.key, HELLO)[: -len(HELLO) + cut])
    balance = json.loads(
        talk(hurried.base_url, request("GET", "/v1/balance", account.key)).data.partition(b"\r\n\r\n")[2]
    )
    assert (balance["held_nanos"], balance["spent_nanos"]) == (0, 0)


def test_a_thousand_slow_sockets_leave_the_service_usable(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 4096:
        pytest.skip("this machine allows fewer than 4,096 open files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 4096), hard))
    config = "[limits]\nheaders_seconds_max = 8\nbody_seconds_max = 8\n"
    with running_server(tmp_path, config=config) as server, contextlib.ExitStack() as stack:
        account = server.account()
        starts = itertools.cycle(
            [b"", b"GET /healthz HTTP/1.1\r\nX-", chat(account.key, "Content-Length: 50000000") + b"\r\n{"]
        )
        slow = [stack.enter_context(dial(server.base_url)) for _ in range(1000)]
        for connection, start in zip(slow, starts, strict=False):
            connection.sendall(start)
        started = time.monotonic()
        for _ in range(20):
            assert talk(server.base_url, request("POST", CHAT, account.key, HELLO), linger_s=0.01).status == 200
        assert time.monotonic() - started < 8, "the slow ones were all still there"
        ends = [listen(connection, seconds=30).status for connection in slow]
        assert set(ends) == {408}
        server.verify()


# ---- headers we read and say back ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["Tessera-Quote", "Tessera-Max-Price", "Tessera-Fit", "Idempotency-Key"])
@pytest.mark.parametrize("value", ["a%0d%0aX-Evil: 1", "\\r\\nX-Evil: 1", "\x80\xff", "{0.__class__}", "%s%n"])
def test_no_value_we_are_given_becomes_a_header(hurried: TesseraServer, key: str, name: str, value: str) -> None:
    heard = talk(hurried.base_url, request("POST", CHAT, key, HELLO, f"{name}: {value}", "Connection: close"))
    assert heard.status in (200, 400)
    head = heard.data.partition(b"\r\n\r\n")[0].lower()
    assert b"\r\nx-evil" not in head


@pytest.mark.parametrize("name", ["Authorization", "Idempotency-Key", "Tessera-Max-Price", "Content-Type"])
def test_a_header_sent_twice_with_two_values_is_refused(hurried: TesseraServer, key: str, name: str) -> None:
    sent = request("POST", CHAT, key, HELLO, f"{name}: 1", f"{name}: 2", "Connection: close")
    assert talk(hurried.base_url, sent).status == 400


@pytest.mark.parametrize(
    "query", ["key={}", "api_key={}", "api%5fkey={}", "%6bey={}", "x={}", "{}", "a=1&token={}", "a=1;access_token={}"]
)
def test_a_key_in_the_address_is_refused_and_never_said_back(
    hurried: TesseraServer, account: Account, query: str
) -> None:
    other = account.key
    heard = talk(
        hurried.base_url, request("GET", f"/v1/balance?{query.format(other)}", other, None, "Connection: close")
    )
    assert heard.status == 400
    assert other.encode() not in heard.data
    assert other not in hurried.log.read_text()


# ---- many at once --------------------------------------------------------------------------------------------------


def test_a_storm_of_bad_requests_leaves_no_trace_in_the_log_and_no_money_held(hurried: TesseraServer) -> None:
    account = hurried.account()
    before = hurried.log.stat().st_size
    bad = [chat(account.key) + lines.encode("latin-1") for lines in MALFORMED.values()] * 5
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        statuses = set(pool.map(lambda sent: talk(hurried.base_url, sent, linger_s=0.05).status, bad))
    assert statuses == {400}
    assert hurried.log.stat().st_size - before < 10_000
    assert talk(hurried.base_url, request("POST", CHAT, account.key, HELLO)).status == 200


def test_a_failure_of_ours_logs_no_secret_and_no_prompt() -> None:
    """A traceback in the log shows where, never with which values: among them are prompts and the pepper."""
    import io
    import sys

    import structlog

    from tessera.server.log_writer import set_up_logging

    kept, sys.stderr = sys.stderr, io.StringIO()
    try:
        writer = set_up_logging()
        canary = "canary-" + "4711" * 4
        try:
            raise RuntimeError("broken")
        except RuntimeError:
            structlog.get_logger("edges").exception("http.internal_error", request_id="req_1")
        writer.close()
        written = sys.stderr.getvalue()
    finally:
        sys.stderr = kept
        structlog.reset_defaults()
    assert "RuntimeError" in written
    assert canary not in written
