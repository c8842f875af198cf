"""The newest checkpoint of every wallet, kept outside the database.

A database put back to an older state carries valid links and signatures; only something outside of it knows that
there was more. The file is never ahead of the database, so a crash between the two raises no alarm.
"""

import os
import sqlite3
from pathlib import Path

import msgspec

from tessera.adapters.storage.sqlite.secrets import sync_folder
from tessera.domain.ledger.chain import signature

WITNESS_FILE = "checkpoints.json"

_FIND_HEADS = "SELECT id, chain_seq, chain_link FROM wallet ORDER BY id"


class Head(msgspec.Struct, frozen=True, array_like=True):
    """The end of one wallet's chain."""

    wallet_id: int
    chain_seq: int
    chain_link: str


class Witness(msgspec.Struct, frozen=True):
    """Every wallet's head, and the signature over all of them."""

    heads: tuple[Head, ...]
    signature: str


def write_witness(connection: sqlite3.Connection, data_dir: Path, key: bytes) -> None:
    """Writes every wallet's head down, if it has changed; whole or not at all. Raises OSError, sqlite3.Error."""
    heads = tuple(Head(row[0], row[1], row[2].hex()) for row in connection.execute(_FIND_HEADS))
    content = msgspec.json.encode(Witness(heads, _sign(key, heads)))
    path = data_dir / WITNESS_FILE
    if path.exists() and path.read_bytes() == content:
        return
    new = data_dir / f".{WITNESS_FILE}-{os.getpid()}-{os.urandom(4).hex()}"
    try:
        handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)
    sync_folder(data_dir)


def read_witness(data_dir: Path, key: bytes) -> tuple[Head, ...]:
    """What was written down last; nothing if there is no file. Raises ValueError if it was not signed by this key."""
    try:
        content = (data_dir / WITNESS_FILE).read_bytes()
    except FileNotFoundError:
        return ()
    try:
        witness = msgspec.json.decode(content, type=Witness)
    except msgspec.DecodeError as error:
        raise ValueError(f"{WITNESS_FILE} cannot be read: {error}") from error
    if witness.signature != _sign(key, witness.heads):
        raise ValueError(f"{WITNESS_FILE} was not written by this ledger")
    return witness.heads


def _sign(key: bytes, heads: tuple[Head, ...]) -> str:
    return signature(key, "witness", [value for head in heads for value in msgspec.structs.astuple(head)]).hex()
