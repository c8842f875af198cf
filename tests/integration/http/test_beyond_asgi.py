"""The real application, with what our connection can do beyond ASGI and without it: clients see no difference."""

import contextlib
import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fault_calls import HELLO, call, settled, start, until
from live_calls import CONFIG, CREDENTIAL, Live
from raw_http import dial, listen, request
from scripted_provider import ScriptedProvider, chat_events, chat_reply, error_reply, hang, sse_reply
from servers import running_server

Lives = dict[str, Live]
DIFFERENT = ("id", "created", "request_id", "system_fingerprint", "time", "at")

PLAIN = """
import pathlib
import tessera.server.connection as ours
ours.CONNECTION = ours.CONNECTION + ".hidden"
pathlib.Path({said!r}).touch()
"""
"""Read by the server's process as it starts: the connection then stands where the application does not look."""


@contextlib.contextmanager
def _live(folder: Path, *, plain: bool) -> Iterator[Live]:
    folder.mkdir()
    env = {"LOCAL_KEY": CREDENTIAL}
    if plain:
        (folder / "start").mkdir()
        (folder / "start" / "sitecustomize.py").write_text(PLAIN.format(said=str(folder / "is plain")))
        env["PYTHONPATH"] = str(folder / "start")
    with ScriptedProvider() as first, ScriptedProvider() as second:
        config = CONFIG.format(first=first.base_url, second=second.base_url, image_ports="[]")
        with running_server(folder, config=config, env=env) as server:
            assert (folder / "is plain").exists() == plain
            yield Live(server, first, second, second, server.account(mode="live", credit="5.00"))
            server.verify()


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lives]:
    folder = tmp_path_factory.mktemp("both")
    with _live(folder / "beyond", plain=False) as beyond, _live(folder / "asgi", plain=True) as plain:
        yield {"beyond": beyond, "plain": plain}


@pytest.fixture
def both(servers: Lives) -> Lives:
    for live in servers.values():
        live.first.received.clear()
        live.first.always = None
    return {
        name: Live(live.server, live.first, live.second, live.images, live.server.account(mode="live", credit="5.00"))
        for name, live in servers.items()
    }


def same(both: Lives, what: Callable[[Live], Any]) -> Any:
    """What is seen on both servers, which must be the same."""
    seen, plain = (what(live) for live in both.values())
    assert seen == plain
    return seen


def without_ids(value: Any) -> Any:
    """A reply without what differs from call to call."""
    if isinstance(value, dict):
        return {name: without_ids(part) for name, part in value.items() if name not in DIFFERENT}
    if isinstance(value, list):
        return [without_ids(part) for part in value]
    return value


def receipt(live: Live) -> Any:
    """What was charged and for what outcome."""
    found = settled(live)
    return found["outcome"], found["charge"]["nanos"], without_ids(found["usage"]), live.get("/balance")["available"]


@pytest.mark.parametrize("filling_bytes", [0, 100_000, 900_000])
def test_an_answer_and_what_it_costs_are_the_same(both: Lives, filling_bytes: int) -> None:
    def answered(live: Live) -> Any:
        live.first.script(chat_reply("A cat."))
        status, headers, body = live.post("/chat/completions", json.dumps(HELLO).encode() + b" " * filling_bytes)
        return status, sorted(headers), without_ids(json.loads(body)), receipt(live)

    assert same(both, answered)[0] == 200


def test_a_stream_and_what_it_costs_are_the_same(both: Lives) -> None:
    def streamed(live: Live) -> Any:
        live.first.script(sse_reply(chat_events(["A ", "cat"])))
        seen = call(live, stream=True, stream_options={"include_usage": True})
        return seen.status, sorted(seen.headers), without_ids(seen.events), receipt(live)

    assert same(both, streamed)[0] == 200


def test_refusals_are_the_same(both: Lives) -> None:
    def refused(live: Live) -> Any:
        live.first.script(error_reply(400))
        seen = [call(live, model="nothing"), call(live, messages=[]), call(live, max_completion_tokens=-1), call(live)]
        return [(one.status, without_ids(one.error)) for one in seen]

    assert {status for status, _ in same(both, refused)} <= {400, 404}


def test_a_body_that_comes_in_pieces_or_not_at_all_is_treated_the_same(both: Lives) -> None:
    def told(live: Live, *pieces: bytes) -> Any:
        with dial(live.server.base_url) as connection:
            for piece in pieces:
                connection.sendall(piece)
            heard = listen(connection)
        return heard.status, heard.end

    body = json.dumps({"model": "gpt-4o", "messages": [{"role": "user", "content": "x" * 400_000}]}).encode()

    def in_pieces(live: Live) -> Any:
        live.first.script(chat_reply("ok"))
        sent = request("POST", "/v1/chat/completions", live.account.key, body)
        whole = told(live, sent[:300], sent[300:200_000], sent[200_000:])
        early = told(live, request("POST", "/v1/chat/completions", "sk-nobody", body)[:2000])
        return whole, early, receipt(live)

    assert same(both, in_pieces)[:2] == ((200, "open"), (401, "closed"))


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("half_closes", [False, True])
def test_a_client_that_leaves_before_the_answer_is_noticed_and_settled_the_same(
    both: Lives, stream: bool, half_closes: bool
) -> None:
    def left(live: Live) -> Any:
        live.first.script(hang())
        connection = start(live, stream=stream)
        until(lambda: live.first.received)
        connection.shutdown(socket.SHUT_WR) if half_closes else connection.close()
        assert live.first.received[0].left_early.wait(10)
        found = receipt(live)
        connection.close()
        return found

    assert same(both, left)[:2] == ("client_disconnected", 0)


def test_a_client_that_leaves_within_a_stream_is_noticed_and_charged_by_the_same_rule(both: Lives) -> None:
    def left(live: Live) -> Any:
        live.first.script(sse_reply(chat_events(["word "] * 500), delay_s=0.02))
        connection = start(live, stream=True)
        seen = b""
        while seen.count(b"word") < 3:
            seen += connection.recv(4096)
        connection.close()
        assert live.first.received[0].left_early.wait(10)
        found = settled(live)
        return found["outcome"], found["usage"]["source"], found["charge"]["nanos"] > 0

    assert same(both, left) == ("client_disconnected", "local", True)
