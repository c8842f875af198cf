"""The part of the composition root that brings whole ledgers to another place: out of a backup, into PostgreSQL."""

import asyncio
import shutil
import time
from pathlib import Path

from tessera.adapters.storage.sqlite import DATABASE_FILE, SqliteStorage, restore
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.ports.administration import Check
from tessera.settings import Settings


async def restore_backup(settings: Settings, source: Path) -> None:
    """A backup into the data folder, which must be new or empty; with `database`, from there into that PostgreSQL.

    What fails leaves no data folder behind, so that the same can be tried again: unless the ledger may have arrived in
    PostgreSQL, whose secrets are in that folder. Raises as `restore` and `move_ledger`.
    """
    restore(source, settings.data_dir)
    if settings.database is None:
        return
    from tessera.adapters.storage.postgres import may_have_moved

    try:
        await move_ledger(settings.data_dir, settings.database, settings.secrets_dir)
    except Exception as error:
        if may_have_moved(settings.data_dir):
            raise TesseraError(
                ErrorCode.STORAGE_UNAVAILABLE,
                "The connection was lost as the restored ledger was made final; it may be in PostgreSQL. End this "
                f"with `tessera migrate --from {settings.data_dir} --to` and the address of this PostgreSQL.",
            ) from error.__cause__
        shutil.rmtree(settings.data_dir)
        raise


async def move_ledger(data_dir: Path, url: str, secrets_dir: Path | None) -> tuple[Check, ...]:
    """The embedded ledger of a data folder into an empty PostgreSQL; the audit of what arrived.

    Raises [invalid_request, not_found, storage_unavailable].
    """
    from tessera.adapters.storage.postgres import move_in

    if (data_dir / DATABASE_FILE).exists():
        # What dead processes left, settlements that wait among it, is resolved at opening.
        storage = await SqliteStorage.open(data_dir)
        await storage.close()
    return await asyncio.to_thread(move_in, data_dir, url, secrets_dir, time.time_ns() // 1000)
