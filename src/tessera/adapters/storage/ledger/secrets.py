"""The two secrets a data folder generates for itself, kept in files outside the database."""

import os
import tempfile
from pathlib import Path

import msgspec

from tessera.domain.errors import ErrorCode, TesseraError

PEPPER_FILE = "pepper"
CHECKPOINT_KEY_FILE = "checkpoint-key"
SECRET_BYTES = 32


class Secrets(msgspec.Struct, frozen=True, kw_only=True):
    """`pepper` goes into every API key's digest; `checkpoint_key` signs the ledger's chain. 32 bytes each."""

    pepper: bytes
    checkpoint_key: bytes

    def __repr__(self) -> str:
        return "Secrets(…)"


def load_secrets(data_dir: Path) -> Secrets:
    """The secrets of a data folder, generated once (mode 0600); processes starting together get the same ones.

    Raises OSError when they can neither be read nor written, [invalid_request] when a file is damaged.
    """
    make_private_folder(data_dir)
    return Secrets(
        pepper=_load(data_dir / PEPPER_FILE),
        checkpoint_key=_load(data_dir / CHECKPOINT_KEY_FILE),
    )


def has_secrets(data_dir: Path) -> bool:
    """Whether a folder has both secrets."""
    return all((data_dir / name).exists() for name in (PEPPER_FILE, CHECKPOINT_KEY_FILE))


def copy_secrets(data_dir: Path, target: Path) -> None:
    """Puts the secrets of one folder into another that has none. Raises OSError."""
    make_private_folder(target)
    for name in (PEPPER_FILE, CHECKPOINT_KEY_FILE):
        handle = os.open(target / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write((data_dir / name).read_bytes())
            file.flush()
            os.fsync(file.fileno())
    sync_folder(target)


def make_private_folder(folder: Path) -> None:
    """Makes a folder only its owner may enter; one that exists is left as it is."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)


def sync_folder(folder: Path) -> None:
    """Makes the names in a folder durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _load(path: Path) -> bytes:
    try:
        secret = path.read_bytes()
    except FileNotFoundError:
        _generate(path)
        secret = path.read_bytes()
    if len(secret) != SECRET_BYTES:
        raise TesseraError(
            ErrorCode.INVALID_REQUEST,
            f"{path} must hold {SECRET_BYTES} bytes and holds {len(secret)}; restore it from a backup.",
            param="data_dir",
        )
    return secret


def _generate(path: Path) -> None:
    """Writes a whole file under another name and links it into place: the first process wins, no other overwrites."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(os.urandom(SECRET_BYTES))
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(name, path)
        except FileExistsError:
            return
        sync_folder(path.parent)
    finally:
        Path(name).unlink()
