"""A value that OpenAI refuses by its range is refused to a test key as well; a live one's provider judges it."""

from pathlib import Path
from typing import Any

import openai
import pytest

from fault_calls import call, live_server, settled
from scripted_provider import chat_reply, error_reply
from servers import Account, TesseraServer

CHAT: dict[str, Any] = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hello"}]}
RESPONSES: dict[str, Any] = {"model": "gpt-5.2-pro", "input": "Hello"}
OUT_OF_RANGE: list[tuple[str, Any]] = [
    ("temperature", 3),
    ("top_p", 2),
    ("n", 0),
    ("n", 129),
    ("presence_penalty", 5),
    ("frequency_penalty", -3),
    ("max_completion_tokens", 0),
    ("top_logprobs", 21),
    ("top_logprobs", 5),
    ("stop", ["a", "b", "c", "d", "e"]),
    ("safety_identifier", "x" * 65),
]


@pytest.mark.parametrize(("name", "value"), OUT_OF_RANGE)
def test_a_test_key_meets_the_refusal_that_a_live_one_would(client: openai.OpenAI, name: str, value: Any) -> None:
    for path, body in (
        ("/chat/completions", {**CHAT, name: value}),
        ("/quotes", {"url": "/v1/chat/completions", "body": {**CHAT, name: value}}),
    ):
        with pytest.raises(openai.BadRequestError) as refused:
            client.post(path, body=body, cast_to=object)
        assert (refused.value.code, refused.value.param) == ("invalid_request", name)
    calls: Any = client.get("/requests", cast_to=object)
    assert calls["data"] == [], "nothing was held"


def test_so_does_one_that_speaks_responses(client: openai.OpenAI) -> None:
    for name, value in (("temperature", 3), ("max_output_tokens", 15)):
        with pytest.raises(openai.BadRequestError) as refused:
            client.post("/responses", body={**RESPONSES, name: value}, cast_to=object)
        assert (refused.value.code, refused.value.param) == ("invalid_request", name)


def test_what_a_live_key_sends_is_its_providers_to_judge(tmp_path: Path) -> None:
    with live_server(tmp_path) as live:
        live.first.script(chat_reply(), error_reply(400))
        assert call(live, temperature=3).status == 200
        assert live.first.received[-1].json()["temperature"] == 3
        assert settled(live)["outcome"] == "completed"
        assert call(live, temperature=3).status == 400
        assert settled(live)["charge"]["nanos"] == 0


def test_a_head_of_a_list_is_what_a_client_asks_for(server: TesseraServer, account: Account) -> None:
    with openai.OpenAI(base_url=server.api, api_key=account.key, max_retries=0) as client:
        shown = client._client.head(f"{server.api}/models", headers={"authorization": f"Bearer {account.key}"})
    assert (shown.status_code, shown.content) == (200, b"")
    assert int(shown.headers["content-length"]) > 1000
