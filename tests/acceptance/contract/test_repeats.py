"""A repeat under an idempotency key is the first reply again, whatever became of what the call referred to."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import openai

from scripted_provider import ScriptedProvider, chat_reply, scripted_provider
from servers import running_server

__all__ = ["scripted_provider"]

PHOTOGRAPH = (Path(__file__).parents[3] / "tests/images/photos/clock_motion.jpg").read_bytes()

CONFIG = """
[media]
allow_private_networks = true
ports = [{port}]

[limits]
quote_seconds = 4

[[provider]]
name = "local"
dialect = "openai"
base_url = "{base_url}"

[[deployment]]
model = "gpt-4o"
provider = "local"
"""


class Gallery(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(PHOTOGRAPH)))
        self.end_headers()
        self.wfile.write(PHOTOGRAPH)

    def log_message(self, *arguments: object) -> None: ...


def test_a_repeat_needs_neither_the_image_nor_the_quote_any_more(
    tmp_path: Path, scripted_provider: ScriptedProvider
) -> None:
    scripted_provider.script(chat_reply("A clock."))
    gallery = ThreadingHTTPServer(("127.0.0.1", 0), Gallery)
    thread = threading.Thread(target=gallery.serve_forever)
    thread.start()
    config = CONFIG.format(port=gallery.server_port, base_url=scripted_provider.base_url)
    image = {"type": "image_url", "image_url": {"url": f"http://127.0.0.1:{gallery.server_port}/clock.jpg"}}
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": [image]}], "max_completion_tokens": 50}
    with running_server(tmp_path, config=config) as server:
        account = server.account(credit="1", mode="live")
        with openai.OpenAI(base_url=server.api, api_key=account.key, max_retries=0) as client:
            quoted = client.post("/quotes", body={"url": "/v1/chat/completions", "body": body}, cast_to=object)
            headers = {"Idempotency-Key": "once", "Tessera-Quote": quoted["id"]}
            first = client.chat.completions.with_raw_response.create(**body, extra_headers=headers)
            gallery.shutdown()
            gallery.server_close()
            thread.join()
            expired = threading.Event()
            expired.wait(4.1)
            again = client.chat.completions.with_raw_response.create(**body, extra_headers=headers)
            balance = client.get("/balance", cast_to=object)
        server.verify()
    assert again.content == first.content
    for name in ("tessera-charge", "tessera-price-max"):
        assert again.headers[name] == first.headers[name]
    assert len(scripted_provider.received) == 1
    assert balance["spent"] == first.headers["tessera-charge"]
