"""The providers whose credentials are stored, as a running server uses them: entered, changed and removed beside it.

Always holds: calls that have begun finish with the credential they began with; one stored provider that cannot be used
stops no other; a database that does not answer changes nothing.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Protocol

from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.request import Surface
from tessera.flows.world import World
from tessera.log import get_logger
from tessera.ports import Deployment, Provider, UpstreamCall, UpstreamReply
from tessera.ports.credentials import UNAUTHORIZED, Credentials, StoredCredential, UnreadableError

log = get_logger(__name__)

LOOK_EVERY_S = 1.0
"""How often the stored credentials are read: well within the five seconds in which a change must hold everywhere."""


class Retiring(Provider, Protocol):
    """A provider that can be taken out of use while calls still run on it."""

    def retire(self) -> None:
        """Closes what is idle now, and the rest as its calls end."""
        ...


Open = Callable[[StoredCredential, str], Retiring]
"""Opens a provider with its credential in the clear. Raises TesseraError for an address that may not be called."""
Deploy = Callable[[Mapping[str, tuple[Surface, ...]]], Mapping[str, tuple[Deployment, ...]]]
"""What can serve, by model, given the stored providers and the surfaces they speak."""


class StoredProviders:
    """Keeps a world's providers and deployments as the stored credentials are. `configured` names the providers of the
    settings, which stand over stored ones."""

    def __init__(
        self, world: World, credentials: Credentials, open_provider: Open, deploy: Deploy, configured: frozenset[str]
    ) -> None:
        self._world = world
        self._credentials = credentials
        self._open = open_provider
        self._deploy = deploy
        self._configured = configured
        self._used: dict[str, StoredCredential] = {}
        self._providers: dict[str, Retiring] = {}
        self._is_blind = False
        world.credential_rejected = self.reject

    async def follow(self) -> None:
        """Looks again and again until it is cancelled."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            await self.look()

    async def look(self) -> None:
        """Takes up what was entered, changed and removed since the last look."""
        try:
            found = await self._credentials.list_credentials()
        except TesseraError as error:
            if not self._is_blind:
                log.error("credentials.look_failed", error=repr(error))
            self._is_blind = True
            return
        self._is_blind = False
        wanted = {one.provider: one for one in found if one.provider not in self._configured}
        before = self._used
        changed = [name for name, one in wanted.items() if name not in before or not _same(before[name], one)]
        gone = before.keys() - wanted.keys()
        opened = {name: await self._opened(wanted[name]) for name in changed}
        self._used = wanted
        for name in changed:
            self._replace(name, opened[name])
            log.info("credential.in_use", provider=name, id=wanted[name].id, is_off=wanted[name].is_off)
        for name in gone:
            self._replace(name, None)
            log.info("credential.removed", provider=name)
        if changed or gone:
            self._world.deploy(self._deploy({name: one.surfaces for name, one in wanted.items()}))

    async def close(self) -> None:
        """Closes every connection."""
        for provider in self._providers.values():
            await provider.close()

    def reject(self, provider: str, status: int) -> None:
        """Notes that a provider refused its credential: after a 401 it is off at once, here and everywhere."""
        credential = self._used.get(provider)
        if credential is None:
            return
        if status == UNAUTHORIZED:
            self._replace(provider, SwitchedOff(_rejected()))
        self._world.spawn(self._note(credential, status))

    async def _note(self, credential: StoredCredential, status: int) -> None:
        try:
            await self._credentials.reject_credential(credential, status)
        except TesseraError as error:
            log.error("credential.not_noted_as_rejected", provider=credential.provider, error=repr(error))

    async def _opened(self, credential: StoredCredential) -> Retiring:
        """A provider that calls, or one that says why it does not."""
        if credential.is_off:
            return SwitchedOff(_rejected())
        try:
            return self._open(credential, await self._credentials.unseal(credential))
        except UnreadableError as why:
            log.error("credential.unreadable", provider=credential.provider, reason=str(why))
        except TesseraError as error:
            log.error("credential.address_refused", provider=credential.provider, reason=error.message)
        return SwitchedOff(_unusable())

    def _replace(self, name: str, provider: Retiring | None) -> None:
        """Puts a provider in the place of the one of this name: what is known against that one is forgotten, and it
        ends with its last call."""
        old = self._providers.pop(name, None)
        others = {key: one for key, one in self._world.providers.items() if key != name}
        if provider is not None:
            self._providers[name] = provider
            others[name] = provider
        self._world.providers = others
        self._world.health.pop(name, None)
        if old is not None:
            old.retire()


class SwitchedOff:
    """A provider that sends nothing and answers every call with one error."""

    def __init__(self, error: TesseraError) -> None:
        self._error = error

    async def send(self, call: UpstreamCall) -> UpstreamReply:
        """See `ports.Provider`."""
        raise TesseraError(self._error.code, self._error.message)

    def retire(self) -> None:
        """There is nothing to close."""

    async def close(self) -> None:
        """There is nothing to close."""


def _same(one: StoredCredential, other: StoredCredential) -> bool:
    """Whether both are used alike: only what the provider said of it last may differ."""
    return one.id == other.id and one.is_off == other.is_off


def _rejected() -> TesseraError:
    return TesseraError(
        ErrorCode.PROVIDER_CREDENTIAL_REJECTED,
        "The provider does not accept this server's own credential for it. Your key is fine; tell the operator.",
    )


def _unusable() -> TesseraError:
    return TesseraError(
        ErrorCode.NO_DEPLOYMENT, "This server's credential for the provider cannot be used; tell the operator."
    )
