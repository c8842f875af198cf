"""The newest checkpoint of every wallet, kept outside the database.

A database put back to an older state carries valid links and signatures; only something outside of it knows that
there was more. The file is never ahead of the database, so a crash between the two raises no alarm.
"""

import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import msgspec

from tessera.adapters.storage.ledger.secrets import sync_folder
from tessera.domain.ledger.chain import signature
from tessera.log import get_logger

log = get_logger(__name__)

WITNESS_FILE = "checkpoints.json"

_FIND_HEADS = "SELECT id, chain_seq, chain_link FROM wallet ORDER BY id"

_FIND_LINK = """
SELECT chain_link FROM hold WHERE wallet_id = ?1 AND chain_seq = ?2
UNION ALL
SELECT event.chain_link FROM usage_event AS event JOIN hold ON hold.number = hold_number
WHERE hold.wallet_id = ?1 AND event.chain_seq = ?2
UNION ALL
SELECT chain_link FROM credit WHERE wallet_id = ?1 AND chain_seq = ?2
UNION ALL
SELECT chain_link FROM adjustment WHERE wallet_id = ?1 AND chain_seq = ?2
"""


class Head(msgspec.Struct, frozen=True, array_like=True):
    """The end of one wallet's chain."""

    wallet_id: int
    chain_seq: int
    chain_link: str


class Witness(msgspec.Struct, frozen=True):
    """Every wallet's head, and the signature over all of them.

    `alarm` is set when the database was found behind; from then on the heads stay as they are, so that the alarm does
    not end by writing more, only by putting the right database back.
    """

    heads: tuple[Head, ...]
    signature: str
    alarm: bool = False


def write_witness(connection: sqlite3.Connection, data_dir: Path, key: bytes) -> None:
    """Writes every wallet's head down, if it has changed; whole or not at all. Raises OSError, sqlite3.Error."""
    # The file first: another process may write both in between, and a file older than the database is no alarm.
    try:
        before = _read(data_dir, key)
    except ValueError as error:
        log.critical("ledger.witness_edited", error=str(error))
        return
    heads = tuple(Head(row[0], row[1], row[2].hex()) for row in connection.execute(_FIND_HEADS))
    witness = Witness(heads, _sign(key, heads, alarm=False))
    if before is not None and _is_behind(connection, before, heads):
        witness = Witness(before.heads, _sign(key, before.heads, alarm=True), alarm=True)
        log.critical("ledger.behind_its_witness", wallets=len(heads))
    if witness != before:
        _write(data_dir, msgspec.json.encode(witness))


def read_witness(data_dir: Path, key: bytes) -> tuple[Head, ...] | str:
    """What was written down last, nothing if there is no file; or, in words, why it cannot be trusted.

    Read it before the snapshot it is compared with begins: a running server moves both on.
    """
    try:
        witness = _read(data_dir, key)
    except ValueError as error:
        return str(error)
    return () if witness is None else witness.heads


def cut_off(connection: sqlite3.Connection, heads: tuple[Head, ...]) -> Iterator[str]:
    """What was witnessed and is not in the database."""
    now: dict[int, int] = {row[0]: row[1] for row in connection.execute(_FIND_HEADS)}
    for head in heads:
        if head.chain_seq > now.get(head.wallet_id, -1):
            yield f"wallet {head.wallet_id}: movements up to {head.chain_seq} were witnessed and are cut off"
        elif head.chain_seq and _link(connection, head) != head.chain_link:
            yield f"wallet {head.wallet_id}: movement {head.chain_seq} is not the one that was witnessed"


def _is_behind(connection: sqlite3.Connection, before: Witness, heads: tuple[Head, ...]) -> bool:
    """Whether the database has less than was witnessed. Links are only compared after an alarm: that takes a search."""
    if before.alarm:
        return next(cut_off(connection, before.heads), None) is not None
    now = {head.wallet_id: head.chain_seq for head in heads}
    return any(head.chain_seq > now.get(head.wallet_id, -1) for head in before.heads)


def _link(connection: sqlite3.Connection, head: Head) -> str | None:
    row = connection.execute(_FIND_LINK, (head.wallet_id, head.chain_seq)).fetchone()
    if row is None:
        return None
    link: bytes = row[0]
    return link.hex()


def _read(data_dir: Path, key: bytes) -> Witness | None:
    try:
        content = (data_dir / WITNESS_FILE).read_bytes()
    except FileNotFoundError:
        return None
    try:
        witness = msgspec.json.decode(content, type=Witness)
    except msgspec.DecodeError as error:
        raise ValueError(f"{WITNESS_FILE} cannot be read: {error}") from error
    if witness.signature != _sign(key, witness.heads, alarm=witness.alarm):
        raise ValueError(f"{WITNESS_FILE} was not written by this ledger")
    return witness


def _write(data_dir: Path, content: bytes) -> None:
    new = data_dir / f".{WITNESS_FILE}-{os.getpid()}-{os.urandom(4).hex()}"
    try:
        handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        new.replace(data_dir / WITNESS_FILE)
    finally:
        new.unlink(missing_ok=True)
    sync_folder(data_dir)


def _sign(key: bytes, heads: tuple[Head, ...], *, alarm: bool) -> str:
    values = [value for head in heads for value in msgspec.structs.astuple(head)]
    return signature(key, "witness", [int(alarm), *values]).hex()
