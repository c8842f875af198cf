"""The server's log: one JSON object a line on standard error, bounded, and never a key."""

import atexit
import logging
import os
import queue
import re
import sys
import threading
from collections.abc import MutableMapping
from typing import Any, TextIO

from tessera.log import structlog

TEXT_LENGTH_MAX = 4096
# Without local variables: among them are prompts, images and the secret that keys are digested with.
_tracebacks = structlog.processors.ExceptionRenderer(structlog.tracebacks.ExceptionDictTransformer(show_locals=False))
_SECRET = re.compile(r"\b(sk-(?:tess-(?:live|test)-)?)[0-9A-Za-z_-]{12,}|(?<=Bearer )\S+")


LINES_WAITING_MAX = 10_000
_CLOSE_SECONDS_MAX = 2.0


class LogWriter:
    """Writes lines from a thread of its own, so that a log nobody takes in time slows no call down.

    At most `LINES_WAITING_MAX` lines wait; further ones are dropped, counted, and the count is written when there is
    room again.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._waiting: queue.Queue[str | None] = queue.Queue(LINES_WAITING_MAX)
        self._dropped = 0
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    def write(self, text: str) -> int:
        """Hands a whole line over; never waits."""
        try:
            self._waiting.put_nowait(text)
        except queue.Full:
            self._dropped += 1
        return len(text)

    def flush(self) -> None:
        """Nothing to do: lines are written as soon as they are taken."""

    def close(self) -> None:
        """Waits a little for what is left to be written."""
        try:
            self._waiting.put(None, timeout=_CLOSE_SECONDS_MAX)
        except queue.Full:
            return
        self._thread.join(_CLOSE_SECONDS_MAX)

    def _put(self, text: str) -> None:
        """Past the stream's own buffer, whose lock a write that never ends would keep for ever, at exit too."""
        try:
            number = self._stream.fileno()
        except (AttributeError, OSError):
            self._stream.write(text)
            return
        data = memoryview(text.encode(errors="backslashreplace"))
        while data:
            data = data[os.write(number, data) :]

    def _run(self) -> None:
        while (text := self._waiting.get()) is not None:
            dropped, self._dropped = self._dropped, 0
            if dropped:
                text = f'{{"event": "log.dropped", "level": "warning", "lines": {dropped}}}\n{text}'
            try:
                self._put(text)
            except (OSError, ValueError):
                self._dropped += dropped + 1


def set_up_logging(level: int = logging.INFO) -> LogWriter:
    """Sends what the program and its libraries have to say to standard error; what is left at exit is written first."""
    writer = LogWriter(sys.stderr)
    atexit.register(writer.close)
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _tracebacks,
            bound,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(writer),  # type: ignore[arg-type]
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(writer)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                _tracebacks,
                bound,
                structlog.processors.JSONRenderer(),
            ],
            foreign_pre_chain=[
                structlog.stdlib.add_log_level,
                structlog.stdlib.add_logger_name,
                structlog.processors.TimeStamper(fmt="iso", utc=True),
            ],
        )
    )
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    return writer


def bound(_logger: Any, _name: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Shortens long texts and takes keys out of every one, however deep they stand."""
    return {key: _bounded(value) for key, value in event.items()}


def _bounded(value: Any) -> Any:
    if isinstance(value, str):
        return _SECRET.sub(lambda match: f"{match[1] or ''}…", value)[:TEXT_LENGTH_MAX]
    if isinstance(value, dict):
        return {key: _bounded(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_bounded(inner) for inner in value]
    return value
