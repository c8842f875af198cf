"""Settlements that could not reach the database: one file per process, a JSON line each, on disk when `add` returns.

Replaying is safe at any time, because settling the same event twice changes nothing.
"""

import os
from pathlib import Path
from urllib.parse import quote, unquote

import msgspec

from tessera.adapters.storage.ledger.secrets import sync_folder
from tessera.domain.usage import UsageEvent

FOLDER = "outbox"
UNREAD_FILE = "unread.txt"
"""Lines that are no settlements, kept for the operator: half of one that a killed process left, what a disk spoiled."""
RESERVE_FILE = "reserve"
RESERVE_BYTES = 1024 * 1024
"""Disk space kept aside, given up when the disk is full so that settlements still fit (faults F20)."""

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(UsageEvent).decode


class Outbox:
    """This process's file of waiting settlements. `waiting` are the holds they belong to."""

    def __init__(self, data_dir: Path, owner: str) -> None:
        self._folder = data_dir / FOLDER
        self.path = self._folder / f"{quote(owner, safe='')}.jsonl"
        self.waiting: set[str] = set()

    def prepare(self) -> None:
        """Makes the folder and its reserve. Raises OSError."""
        self._folder.mkdir(mode=0o700, exist_ok=True)
        reserve = self._folder / RESERVE_FILE
        if not reserve.exists():
            try:
                _write(reserve, bytes(RESERVE_BYTES))
            except OSError:
                # A part of it would pass for the whole.
                reserve.unlink(missing_ok=True)
                raise
            sync_folder(self._folder)

    def add(self, events: list[UsageEvent]) -> None:
        """Keeps events, durably. Raises OSError if the disk does not take them."""
        # The first newline ends whatever half line an earlier failure may have left.
        lines = b"\n" + b"".join(_encode(event) + b"\n" for event in events)
        try:
            _write(self.path, lines)
        except OSError:
            (self._folder / RESERVE_FILE).unlink(missing_ok=True)
            _write(self.path, lines)
        sync_folder(self._folder)
        self.waiting.update(event.hold_id for event in events)

    def clear(self) -> None:
        """Forgets everything, once it is in the database."""
        self.path.unlink(missing_ok=True)
        self.waiting.clear()


def read_outbox(path: Path) -> tuple[list[UsageEvent], list[bytes]]:
    """The events of an outbox file, and the lines that are none.

    A process killed while writing leaves half a line, which was never acknowledged.
    """
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return [], []
    events: list[UsageEvent] = []
    unread: list[bytes] = []
    for line in lines:
        if line:
            try:
                events.append(_decode(line))
            except (msgspec.DecodeError, UnicodeDecodeError):
                unread.append(line)
    return events, unread


def keep_unread(path: Path, lines: list[bytes]) -> None:
    """Keeps lines of an outbox file that cannot be settled, before the file is forgotten. Raises OSError."""
    _write(path.with_name(UNREAD_FILE), b"".join(line + b"\n" for line in lines))


def outboxes(data_dir: Path) -> dict[str, Path]:
    """Every process's outbox file, by owner."""
    return {unquote(path.stem): path for path in sorted((data_dir / FOLDER).glob("*.jsonl"))}


def _write(path: Path, content: bytes) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(handle, "ab", closefd=False) as file:
            file.write(content)
            file.flush()
        os.fsync(handle)
    finally:
        os.close(handle)
