"""Which processes are alive: each that places holds keeps a locked file, which the kernel lets go when it dies.

A lock cannot be faked by a clock that jumps or lost by a process that is slow; it ends exactly when the process does.
"""

import fcntl
import os
import time
from pathlib import Path
from urllib.parse import quote, unquote

FOLDER = "processes"
_TRIES = 5
_PAUSE_S = 0.02


class Lease:
    """This process's own sign of life. `take` it before the first hold; `drop` it at the end."""

    def __init__(self, data_dir: Path, owner: str) -> None:
        self._path = lease_file(data_dir, owner)
        self._handle: int | None = None

    def take(self) -> None:
        """Raises OSError if the file cannot be written, BlockingIOError if a living process has this name."""
        if self._handle is not None:
            return
        self._path.parent.mkdir(mode=0o700, exist_ok=True)
        while self._handle is None:
            handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                _lock(handle)
                taken = _is_at(handle, self._path)
            except BaseException:
                os.close(handle)
                raise
            if taken:
                self._handle = handle
            else:
                # A sweeper found it before it was locked and removed it: nobody would look at this one.
                os.close(handle)

    @property
    def taken(self) -> bool:
        """Whether this process shows its life."""
        return self._handle is not None

    def drop(self) -> None:
        """Ends the lease. The file stays for the sweeper, which removes it when nothing of the process is left."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None


def lease_file(data_dir: Path, owner: str) -> Path:
    """Where a process's lock is."""
    return data_dir / FOLDER / f"{quote(owner, safe='')}.lock"


def leases(data_dir: Path) -> set[str]:
    """Every process that left a lock file here, alive or not."""
    return {unquote(path.stem) for path in (data_dir / FOLDER).glob("*.lock")}


def is_alive(data_dir: Path, owner: str) -> bool | None:
    """Whether a process holds its lock; None if it never had one here (another machine, or restored data)."""
    try:
        handle = os.open(lease_file(data_dir, owner), os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


def remove_lease(data_dir: Path, owner: str) -> None:
    """Removes the lock file of a process that has ended. One that has begun anew meanwhile keeps it."""
    path = lease_file(data_dir, owner)
    try:
        handle = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink(missing_ok=True)
    except BlockingIOError:
        pass
    finally:
        os.close(handle)


def _is_at(handle: int, path: Path) -> bool:
    """Whether an open file is the one that is found by its name."""
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False


def _lock(handle: int) -> None:
    """Locks a file, waiting a moment for a sweeper that is just looking at it. Raises BlockingIOError."""
    for _ in range(_TRIES - 1):
        try:
            return fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_PAUSE_S)
    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
