"""Listening to GET /v1/events over a real connection."""

import http.client
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

SECONDS_MAX = 20


@dataclass
class Stream:
    """An open stream of events, read in a thread."""

    response: http.client.HTTPResponse
    events: list[dict[str, Any]] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)

    def read(self) -> None:
        try:
            for line in self.response:
                if line.startswith(b"data: "):
                    self.events.append(json.loads(line[6:]))
                elif line.startswith(b"id: "):
                    self.ids.append(line[4:].decode().strip())
        except (OSError, ValueError, http.client.HTTPException):
            pass
        finally:
            self.ended.set()

    def wait(self, kind: str, count: int = 1) -> list[dict[str, Any]]:
        """The events of a type, once there are so many."""
        deadline = time.monotonic() + SECONDS_MAX
        while time.monotonic() < deadline:
            found = [event for event in self.events if event["type"] == kind]
            if len(found) >= count:
                return found
            time.sleep(0.01)
        raise AssertionError(f"no {count} {kind} came: {self.events}")


@contextmanager
def listening(base_url: str, key: str, last_event_id: str | None = None) -> Iterator[Stream]:
    address = urlsplit(base_url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=SECONDS_MAX)
    headers = {"Authorization": f"Bearer {key}"} | ({"Last-Event-ID": last_event_id} if last_event_id else {})
    connection.request("GET", "/v1/events", headers=headers)
    stream = Stream(connection.getresponse())
    assert stream.response.status == 200, stream.response.read()
    assert stream.response.headers["content-type"].startswith("text/event-stream")
    thread = threading.Thread(target=stream.read, daemon=True)
    thread.start()
    try:
        yield stream
    finally:
        if connection.sock is not None:
            connection.sock.shutdown(2)
        thread.join(SECONDS_MAX)
        connection.close()
