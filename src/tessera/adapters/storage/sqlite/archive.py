"""Backup and restore: everything a data folder needs, as one file only its owner may read.

The archive holds the database (copied online), both secrets, the checkpoints and the outbox. The checkpoints and the
outbox are read before the database, so that they are never ahead of it: what is in both is only settled once.
"""

import os
import shutil
import sqlite3
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

from tessera.adapters.storage.ledger.audit import audit
from tessera.adapters.storage.ledger.outbox import FOLDER as OUTBOX_FOLDER
from tessera.adapters.storage.ledger.outbox import outboxes
from tessera.adapters.storage.ledger.secrets import (
    CHECKPOINT_KEY_FILE,
    PEPPER_FILE,
    load_secrets,
    make_private_folder,
    sync_folder,
)
from tessera.adapters.storage.ledger.witness import WITNESS_FILE
from tessera.adapters.storage.sqlite.connection import DATABASE_FILE, connect
from tessera.adapters.storage.sqlite.damage import damage
from tessera.adapters.storage.sqlite.migrations import is_current, migrate
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.ports.administration import Check

_SECRET_FILES = (PEPPER_FILE, CHECKPOINT_KEY_FILE)
_SMALL_FILES = (*_SECRET_FILES, WITNESS_FILE)


def back_up(connection: sqlite3.Connection, data_dir: Path, target: Path) -> None:
    """Copies a data folder in use into a new archive. Raises [invalid_request] if the target exists, OSError."""

    def copy(file: Path) -> None:
        copied = sqlite3.connect(file)
        try:
            connection.backup(copied)
        finally:
            copied.close()

    archive(copy, data_dir, data_dir, target)


def archive(copy_database: Callable[[Path], None], data_dir: Path, secrets_dir: Path, target: Path) -> None:
    """Makes an archive of a database, which `copy_database` writes to a file, and of what belongs to it.

    Raises [invalid_request] if the target exists, OSError, and what `copy_database` raises.
    """
    if target.exists():
        raise TesseraError(ErrorCode.INVALID_REQUEST, f"{target} exists already; name a new file.", param="target")
    if not target.parent.is_dir():
        raise TesseraError(ErrorCode.INVALID_REQUEST, f"There is no folder {target.parent}.", param="target")
    with tempfile.TemporaryDirectory(prefix=".tessera-backup-", dir=target.parent) as work:
        files = [*(secrets_dir / name for name in _SECRET_FILES), data_dir / WITNESS_FILE]
        small = {path.name: path.read_bytes() for path in files if path.exists()}
        boxes = {f"{OUTBOX_FOLDER}/{path.name}": path.read_bytes() for path in outboxes(data_dir).values()}
        copy = Path(work) / DATABASE_FILE
        copy_database(copy)
        whole = Path(work) / "archive"
        with tarfile.open(whole, "x") as tar:
            for name, content in {**small, **boxes}.items():
                loose = Path(work) / "loose"
                loose.write_bytes(content)
                tar.add(loose, arcname=name, filter=_private)
            tar.add(copy, arcname=DATABASE_FILE, filter=_private)
        whole.chmod(0o600)
        with whole.open("rb") as file:
            os.fsync(file.fileno())
        try:
            os.link(whole, target)
        except FileExistsError:
            raise TesseraError(
                ErrorCode.INVALID_REQUEST, f"{target} exists already; name a new file.", param="target"
            ) from None
    sync_folder(target.parent)


def restore(source: Path, data_dir: Path) -> tuple[Check, ...]:
    """Puts an archive back into a data folder that holds no ledger yet, after auditing it; gives the audit.

    Nothing is put there unless every check is right. Raises [invalid_request] for a folder in use, an archive that is
    none, and one whose audit finds something wrong; OSError.
    """
    if data_dir.exists() and any(data_dir.iterdir()):
        raise TesseraError(
            ErrorCode.INVALID_REQUEST, f"{data_dir} is not empty; restore into a new folder.", param="data_dir"
        )
    make_private_folder(data_dir.parent)
    with tempfile.TemporaryDirectory(prefix=".tessera-restore-", dir=data_dir.parent) as work:
        folder = Path(work) / "data"
        folder.mkdir(mode=0o700)
        _extract(source, folder)
        checks = _audited(folder)
        wrong = [check for check in checks if not check.ok]
        if wrong:
            raise TesseraError(
                ErrorCode.INVALID_REQUEST,
                f"The archive's ledger is wrong and was not restored: {wrong[0].name}: {wrong[0].detail}",
                param="source",
            )
        if data_dir.exists():
            data_dir.rmdir()
        folder.rename(data_dir)
    sync_folder(data_dir.parent)
    return checks


def _audited(folder: Path) -> tuple[Check, ...]:
    """Audits what was taken out of an archive, which an earlier version may have made."""
    try:
        secrets = load_secrets(folder)
        connection = connect(folder / DATABASE_FILE, writable=True)
        try:
            if not is_current(connection):
                migrate(connection)
            # As of long ago: calls that ran when the copy was taken are orphans, resolved at the first opening.
            return audit(connection, folder, secrets.checkpoint_key, 0, damage, (sqlite3.DatabaseError,))
        finally:
            connection.close()
    except (sqlite3.Error, ValueError, TesseraError) as error:
        raise TesseraError(
            ErrorCode.INVALID_REQUEST, f"The archive holds no ledger that can be read: {error}", param="source"
        ) from error


def _extract(source: Path, folder: Path) -> None:
    """Takes the known files out of an archive, whatever else is in it."""
    try:
        with tarfile.open(source, "r:") as tar:
            for member in tar:
                inside = Path(member.name)
                known = member.name in (*_SMALL_FILES, DATABASE_FILE) or inside.parent == Path(OUTBOX_FOLDER)
                if not (known and member.isfile()) or ".." in inside.parts or inside.is_absolute():
                    raise TesseraError(
                        ErrorCode.INVALID_REQUEST, f"{source} is not a backup of Tessera.", param="source"
                    )
                content = tar.extractfile(member)
                assert content is not None
                (folder / inside).parent.mkdir(mode=0o700, exist_ok=True)
                with open(folder / inside, "xb", opener=_private_opener) as file:
                    shutil.copyfileobj(content, file)
                    file.flush()
                    os.fsync(file.fileno())
    except (tarfile.TarError, FileNotFoundError, EOFError) as error:
        raise TesseraError(
            ErrorCode.INVALID_REQUEST, f"{source} is not a backup of Tessera: {error}", param="source"
        ) from error
    for name in (DATABASE_FILE, PEPPER_FILE, CHECKPOINT_KEY_FILE):
        if not (folder / name).exists():
            raise TesseraError(ErrorCode.INVALID_REQUEST, f"{source} is not whole: {name} is missing.", param="source")


def _private(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Archive members say nothing of who made them."""
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.mode = 0o600
    return member


def _private_opener(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o600)
