"""The sign of life of a process is always where others look for it."""

from pathlib import Path

import pytest

from tessera.adapters.storage.ledger import lease
from tessera.adapters.storage.ledger.lease import Lease, is_alive, lease_file, leases, remove_lease


def test_a_lock_file_that_a_sweeper_removes_before_it_is_locked_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    locks: list[int] = []
    lock = lease._lock

    def swept(handle: int) -> None:
        """A sweeper looks between the making of the file and its lock: nobody holds it, so its process is dead."""
        if not locks:
            remove_lease(tmp_path, "prc_1")
            assert not lease_file(tmp_path, "prc_1").exists()
        locks.append(handle)
        lock(handle)

    monkeypatch.setattr(lease, "_lock", swept)
    mine = Lease(tmp_path, "prc_1")
    mine.take()
    assert len(locks) == 2
    assert mine.taken
    assert is_alive(tmp_path, "prc_1") is True
    assert leases(tmp_path) == {"prc_1"}
    mine.drop()
    assert is_alive(tmp_path, "prc_1") is False


def test_the_lock_file_of_a_process_that_has_begun_anew_stays(tmp_path: Path) -> None:
    """A sweeper found it dead, and gave back its holds; meanwhile one of the same name has started."""
    old = Lease(tmp_path, "server")
    old.take()
    old.drop()
    assert is_alive(tmp_path, "server") is False
    new = Lease(tmp_path, "server")
    new.take()
    remove_lease(tmp_path, "server")
    assert is_alive(tmp_path, "server") is True
    new.drop()
    remove_lease(tmp_path, "server")
    remove_lease(tmp_path, "server")
    assert is_alive(tmp_path, "server") is None
