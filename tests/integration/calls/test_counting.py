"""Counting before a call, by us or by the provider's own counter."""

import json
from pathlib import Path

import pytest

from live_calls import CREDENTIAL
from raw_http import request, talk
from scripted_provider import ScriptedProvider, chat_reply, error_reply, html_reply, json_reply, raw_reply
from servers import running_server

CONFIG = """
[[provider]]
name = "openai"
base_url = "{}"
credential = "env:LOCAL_KEY"
"""
PATH = "/v1/responses/input_tokens"
BODY = b'{"model":"gpt-5.2","input":"Hello  there","max_output_tokens":20,"service_tier":"flex","stream":true}'


@pytest.fixture(scope="module")
def counted(tmp_path_factory: pytest.TempPathFactory):
    with ScriptedProvider() as provider:
        provider.expect_credential(CREDENTIAL)
        folder: Path = tmp_path_factory.mktemp("counting")
        with running_server(folder, config=CONFIG.format(provider.base_url), env={"LOCAL_KEY": CREDENTIAL}) as server:
            key = server.account(mode="live").key

            def ask(*lines: str, key: str = key, path: str = PATH, body: bytes = BODY):
                heard = talk(server.base_url, request("POST", path, key, body, *lines), linger_s=0.2)
                return heard, json.loads(heard.data.partition(b"\r\n\r\n")[2])

            yield provider, ask, server
            server.verify()


def test_without_asking_the_count_is_ours(counted) -> None:
    provider, ask, _ = counted
    heard, reply = ask()
    assert (heard.status, reply["object"]) == (200, "response.input_tokens")
    assert b"\r\ntessera-count: tessera\r\n" in heard.data
    assert provider.received == []


def test_on_asking_the_provider_counts_what_it_would_be_sent(counted) -> None:
    provider, ask, _ = counted
    provider.script(json_reply({"object": "response.input_tokens", "input_tokens": 4711}))
    heard, reply = ask("Tessera-Count: provider")
    assert (heard.status, reply["input_tokens"]) == (200, 4711)
    assert b"\r\ntessera-count: provider\r\n" in heard.data
    received = provider.received.pop()
    assert received.path == PATH
    assert received.json() == {"model": "gpt-5.2", "input": "Hello  there"}


def test_a_dated_model_is_asked_for_by_its_own_name(counted) -> None:
    provider, ask, _ = counted
    provider.script(json_reply({"object": "response.input_tokens", "input_tokens": 4711}))
    ask("Tessera-Count: provider", body=BODY.replace(b"gpt-5.2", b"gpt-5.2-2025-12-11"))
    assert provider.received.pop().json()["model"] == "gpt-5.2-2025-12-11"


def test_a_dated_model_is_called_by_its_own_name(counted) -> None:
    provider, ask, server = counted
    key = server.account(mode="live", credit="1.00").key
    body = b'{"model":"gpt-5.2-2025-12-11","messages":[{"role":"user","content":"Hi"}],"max_completion_tokens":20}'
    provider.script(chat_reply("Hello", prompt_tokens=8, completion_tokens=1))
    heard, _ = ask(key=key, path="/v1/chat/completions", body=body)
    assert heard.status == 200
    assert provider.received.pop().json()["model"] == "gpt-5.2-2025-12-11"


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        *((error_reply(500), 502), (error_reply(429), 429), (html_reply(), 502), (json_reply({}), 502)),
        (raw_reply(b'HTTP/1.1 200 OK\r\ncontent-length: 50000\r\n\r\n{"x":' + b"[" * 49_995), 502),
    ],
)
def test_a_counter_that_fails_is_not_replaced_by_a_guess(counted, answer, status: int) -> None:
    provider, ask, _ = counted
    provider.script(answer)
    assert ask("Tessera-Count: provider")[0].status == status
    assert provider.received.pop().path == PATH


def test_a_test_key_asks_no_provider(counted) -> None:
    provider, ask, server = counted
    heard, _ = ask("Tessera-Count: provider", key=server.account().key)
    assert b"\r\ntessera-count: tessera\r\n" in heard.data
    assert provider.received == []


def test_another_word_is_refused(counted) -> None:
    assert counted[1]("Tessera-Count: anthropic")[0].status == 400
