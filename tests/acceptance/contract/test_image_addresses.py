"""An image's address: fetched once and sent on as data, or passed through, as `media.forward` says."""

import base64
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import openai
import pytest

from scripted_provider import ScriptedProvider, chat_reply, scripted_provider
from servers import running_server

__all__ = ["scripted_provider"]

ROOT = Path(__file__).parents[3]
PHOTOGRAPH = (ROOT / "tests/images/photos/clock_motion.jpg").read_bytes()
HEIC = (ROOT / "tests/images/four_colours.heic").read_bytes()

CONFIG = """
[media]
allow_private_networks = true
forward = "{forward}"
ports = [{port}]

[[provider]]
name = "local"
dialect = "openai"
base_url = "{base_url}"

[[deployment]]
model = "gpt-4o"
provider = "local"
"""


@pytest.fixture
def gallery() -> Iterator[ThreadingHTTPServer]:
    """A web server with two images; `asked` counts how often each is asked for."""

    class Gallery(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            content = HEIC if self.path.endswith("heic") else PHOTOGRAPH
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *arguments: object) -> None: ...

    asked: list[str] = []
    with ThreadingHTTPServer(("127.0.0.1", 0), Gallery) as server:
        server.asked = asked
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def sent(folder: Path, provider: ScriptedProvider, gallery: ThreadingHTTPServer, forward: str, name: str) -> list[str]:
    """The address the caller gave and what the provider was sent in its place."""
    provider.script(chat_reply("A clock."))
    config = CONFIG.format(forward=forward, port=gallery.server_port, base_url=provider.base_url)
    address = f"http://127.0.0.1:{gallery.server_port}/{name}"
    with running_server(folder, config=config) as server:
        account = server.account(credit="1", mode="live")
        with openai.OpenAI(base_url=server.api, api_key=account.key, max_retries=0) as client:
            client.chat.completions.create(
                model="gpt-4o",
                messages=[{"role": "user", "content": [{"type": "image_url", "image_url": {"url": address}}]}],
            )
    assert gallery.asked == [f"/{name}"]
    return [address, provider.received[0].json()["messages"][0]["content"][0]["image_url"]["url"]]


def test_inline_sends_the_bytes_that_were_counted(
    tmp_path: Path, scripted_provider: ScriptedProvider, gallery: ThreadingHTTPServer
) -> None:
    _, received = sent(tmp_path, scripted_provider, gallery, "inline", "clock.jpg")
    assert received == "data:image/jpeg;base64," + base64.b64encode(PHOTOGRAPH).decode()


def test_url_passes_the_address_through(
    tmp_path: Path, scripted_provider: ScriptedProvider, gallery: ThreadingHTTPServer
) -> None:
    address, received = sent(tmp_path, scripted_provider, gallery, "url", "clock.jpg")
    assert received == address


def test_url_still_sends_what_had_to_be_converted_as_data(
    tmp_path: Path, scripted_provider: ScriptedProvider, gallery: ThreadingHTTPServer
) -> None:
    pytest.importorskip("pi_heif")
    _, received = sent(tmp_path, scripted_provider, gallery, "url", "colours.heic")
    assert received.startswith(("data:image/png;base64,", "data:image/jpeg;base64,"))
