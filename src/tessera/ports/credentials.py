"""Credentials of providers that operators enter by command or HTTP: stored sealed, and never shown again."""

from typing import Protocol

import msgspec

from tessera.domain.people.records import Act, ActorKind
from tessera.domain.request import Surface

PROVIDER_NAME = r"[a-z0-9][a-z0-9._-]{0,63}"
"""What a provider is called whose credential is stored."""
PROVIDERS_INSIDE = ("sight", "sandbox")
"""Providers inside this process; they need no credential."""
UNAUTHORIZED = 401
"""The status by which a provider says that it does not know a credential, and not only that it may not do this."""


class StoredCredential(msgspec.Struct, frozen=True, kw_only=True):
    """What was entered of a provider. Times are seconds since 1970.

    `sealed` is the credential, encrypted; `id` is another with each credential that is set. `last_four` are its last
    characters, empty for one so short that they would say much. `rejected_at` and `rejected_status` say when the
    provider last refused it and with which HTTP status.
    """

    provider: str
    id: str
    base_url: str
    surfaces: tuple[Surface, ...]
    sealed: str
    key_version: int
    last_four: str
    created_at: int
    rotated_at: int
    set_by_kind: ActorKind
    set_by: str
    rejected_at: int | None = None
    rejected_status: int | None = None

    @property
    def is_off(self) -> bool:
        """Whether the provider does not know it: then it is not used until another is set."""
        return self.rejected_status == UNAUTHORIZED

    def __repr__(self) -> str:
        return f"StoredCredential({self.provider}, {self.id})"


class NewCredential(msgspec.Struct, frozen=True, kw_only=True):
    """A credential as it was entered, in the clear: for one call of `set_credential` only."""

    provider: str
    base_url: str
    surfaces: tuple[Surface, ...]
    secret: str

    def __repr__(self) -> str:
        return f"NewCredential({self.provider})"


class UnreadableError(Exception):
    """A stored credential that does not open; the message says why, in words for the operator."""


class Credentials(Protocol):
    """The stored credentials. Every verb but `unseal` raises [storage_unavailable]."""

    async def list_credentials(self) -> tuple[StoredCredential, ...]:
        """All of them, by provider."""
        ...

    async def set_credential(self, act: Act, new: NewCredential) -> StoredCredential:
        """Stores a credential in place of the provider's one until now, and forgets that that one was refused."""
        ...

    async def remove_credential(self, act: Act) -> bool:
        """Removes a provider's credential for good; False if there is none."""
        ...

    async def reject_credential(self, credential: StoredCredential, status: int) -> None:
        """Notes that the provider refused it, unless another was set meanwhile."""
        ...

    async def unseal(self, credential: StoredCredential) -> str:
        """The credential in the clear. Raises UnreadableError for one that was changed, moved to another row, or sealed
        under another master key."""
        ...


class EnteredAddresses(Protocol):
    """Which addresses of providers may be entered."""

    def check(self, base_url: str) -> str:
        """The address as it will be called. Raises [invalid_request] for one that never will be."""
        ...
