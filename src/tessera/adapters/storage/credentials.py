"""The storage of providers' credentials, written once for every database."""

import asyncio
from typing import Any

from tessera.adapters.storage.people.audit_log import record
from tessera.adapters.storage.people.steps import Steps, Store, change, first, read, rows
from tessera.adapters.storage.sealing import KEY_VERSION, Sealer
from tessera.domain.people.records import Act, ActorKind
from tessera.domain.request import Surface
from tessera.ports.credentials import NewCredential, StoredCredential

SHOWN_FROM_CHARS = 16
"""The shortest credential whose last four characters are shown."""

_COLUMNS = """provider, id, base_url, surfaces, sealed, key_version, last_four, created_at, rotated_at, set_by_kind,
    set_by, rejected_at, rejected_status"""
_LIST = f"SELECT {_COLUMNS} FROM provider_credential ORDER BY provider"  # noqa: S608
_SET = f"""
INSERT INTO provider_credential (
    provider, id, base_url, surfaces, sealed, key_version, last_four, created_at, rotated_at, set_by_kind, set_by
) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8, $9, $10)
ON CONFLICT (provider) DO UPDATE SET id = excluded.id, base_url = excluded.base_url, surfaces = excluded.surfaces,
    sealed = excluded.sealed, key_version = excluded.key_version, last_four = excluded.last_four,
    rotated_at = CASE WHEN excluded.rotated_at > provider_credential.created_at THEN excluded.rotated_at
        ELSE provider_credential.created_at END,
    set_by_kind = excluded.set_by_kind, set_by = excluded.set_by, rejected_at = NULL, rejected_status = NULL
RETURNING {_COLUMNS}
"""  # noqa: S608
_REMOVE = "DELETE FROM provider_credential WHERE provider = $1 RETURNING provider"
_REJECT = """
UPDATE provider_credential SET rejected_at = $3, rejected_status = $4
WHERE provider = $1 AND id = $2 AND (rejected_status IS NULL OR rejected_status <> 401)
"""


class SqlCredentials(Store):
    """The port `Credentials` on any database that runs steps. What signs the ledger is the master key."""

    @read
    def list_credentials(self) -> Steps[tuple[StoredCredential, ...]]:
        """See the port."""
        found = yield from rows(_LIST)
        return tuple(_credential(row) for row in found)

    async def set_credential(self, act: Act, new: NewCredential) -> StoredCredential:
        """See the port. Sealed before the commit, and in a thread: the first time, the cipher is loaded."""
        credential_id = self.make_id("cred")
        belongs_to = (new.provider, new.base_url, credential_id)
        sealed = await asyncio.to_thread(Sealer(self.signing_key).seal, new.secret, belongs_to)
        return await self._put(act, new, credential_id, sealed)

    @change
    def _put(self, act: Act, new: NewCredential, credential_id: str, sealed: str) -> Steps[StoredCredential]:
        last_four = new.secret[-4:] if len(new.secret) >= SHOWN_FROM_CHARS else ""
        row = yield from first(
            _SET,
            new.provider,
            credential_id,
            new.base_url,
            " ".join(new.surfaces),
            sealed,
            KEY_VERSION,
            last_four,
            self.now(),
            act.actor.kind.value,
            act.actor.id,
        )
        assert row is not None
        yield from record(self, act)
        return _credential(row)

    @change
    def remove_credential(self, act: Act) -> Steps[bool]:
        """See the port."""
        if (yield from first(_REMOVE, act.object_id)) is None:
            return False
        yield from record(self, act)
        return True

    @change
    def reject_credential(self, credential: StoredCredential, status: int) -> Steps[None]:
        """See the port."""
        yield from rows(_REJECT, credential.provider, credential.id, self.now(), status)

    async def unseal(self, credential: StoredCredential) -> str:
        """See the port."""
        belongs_to = (credential.provider, credential.base_url, credential.id)
        unsealed = Sealer(self.signing_key).open
        return await asyncio.to_thread(unsealed, credential.sealed, credential.key_version, belongs_to)


def _credential(row: tuple[Any, ...]) -> StoredCredential:
    return StoredCredential(
        provider=row[0],
        id=row[1],
        base_url=row[2],
        surfaces=tuple(Surface(name) for name in row[3].split()),
        sealed=row[4],
        key_version=row[5],
        last_four=row[6],
        created_at=row[7],
        rotated_at=row[8],
        set_by_kind=ActorKind(row[9]),
        set_by=row[10],
        rejected_at=row[11],
        rejected_status=row[12],
    )
