"""What was held for is what a server of one's own is told to write at most, under the name it knows."""

from pathlib import Path

import openai
import pytest

from scripted_provider import ScriptedProvider, chat_reply, scripted_provider
from servers import running_server

__all__ = ["scripted_provider"]

CONFIG = """
[[model]]
id = "my-vlm"
like = "qwen2.5-vl"
context_max = 32768
output_default = 1024

[[price]]
model = "my-vlm"
input = "0.20"
output = "0.60"

[[provider]]
name = "local"
dialect = "openai"
surfaces = ["chat"]
base_url = "{base_url}"

[[deployment]]
model = "my-vlm"
provider = "local"

[[deployment]]
model = "gpt-4o"
provider = "local"
"""
NAMES = ("max_tokens", "max_completion_tokens", "max_output_tokens")


@pytest.mark.parametrize(
    ("model", "given", "sent"),
    [
        ("my-vlm", {}, {"max_tokens": 1024}),
        ("my-vlm", {"max_tokens": 7}, {"max_tokens": 7}),
        ("my-vlm", {"max_completion_tokens": 7}, {"max_tokens": 7, "max_completion_tokens": 7}),
        ("my-vlm", {"max_output_tokens": 16}, {"max_tokens": 16}),
        ("gpt-4o", {}, {"max_completion_tokens": 4096}),
        ("gpt-4o", {"max_tokens": 7}, {"max_tokens": 7}),
        ("gpt-4o", {"max_output_tokens": 16}, {"max_completion_tokens": 16}),
    ],
)
def test_the_cap_arrives_under_a_name_the_server_knows(
    tmp_path: Path, scripted_provider: ScriptedProvider, model: str, given: dict[str, int], sent: dict[str, int]
) -> None:
    scripted_provider.script(chat_reply("A cat."))
    with running_server(tmp_path, config=CONFIG.format(base_url=scripted_provider.base_url)) as server:
        account = server.account(credit="1", mode="live")
        with openai.OpenAI(base_url=server.api, api_key=account.key, max_retries=0) as client:
            if "max_output_tokens" in given:
                client.responses.create(model=model, input="Hello", **given)
            else:
                client.chat.completions.create(model=model, messages=[{"role": "user", "content": "Hello"}], **given)
    body = scripted_provider.received[0].json()
    assert {name: body[name] for name in NAMES if name in body} == sent
