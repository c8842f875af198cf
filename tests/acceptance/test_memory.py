"""What a running server keeps in memory: nothing of the libraries that only its workers, or rare calls, need."""

import base64
import http.client
import json
from pathlib import Path
from typing import Any

from image_files import saved
from servers import Account, TesseraServer, running_server

RESIDENT_MIB_MAX = 117
"""A third of what the LiteLLM proxy took under small calls (docs/benchmarks.md)."""
NOT_IN_THE_SERVER = ("numpy", "opencv", "cv2", "tesserocr", "zxing", "pi_heif", "aiohttp")
CALLS = 200


def call(connection: http.client.HTTPConnection, account: Account, content: Any) -> None:
    body = json.dumps({"model": "gpt-4.1-mini", "messages": [{"role": "user", "content": content}]})
    headers = {"Authorization": f"Bearer {account.key}", "Content-Type": "application/json"}
    connection.request("POST", "/v1/chat/completions", body, headers)
    with connection.getresponse() as reply:
        assert reply.status == 200, reply.read()
        reply.read()


def resident_mib(server: TesseraServer) -> float:
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


def test_a_server_stays_small_under_small_calls_and_images(tmp_path: Path) -> None:
    url = "data:image/png;base64," + base64.b64encode(saved("PNG")).decode()
    # A long payload takes another way than a short one.
    long_url = "data:image/png;base64," + base64.b64encode(saved("PNG") + bytes(60_000)).decode()
    with running_server(tmp_path, fresh=True) as server:
        account = server.account()
        connection = http.client.HTTPConnection(server.base_url.removeprefix("http://"), timeout=30)
        for address in (url, long_url):
            call(connection, account, [{"type": "image_url", "image_url": {"url": address}}])
        for number in range(CALLS):
            call(connection, account, f"Hello, harbour number {number}, and all who live there.")
        loaded = Path(f"/proc/{server.process.pid}/maps").read_text()
        assert [name for name in NOT_IN_THE_SERVER if name in loaded] == []
        assert resident_mib(server) < RESIDENT_MIB_MAX
        connection.close()
