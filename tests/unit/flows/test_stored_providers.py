"""How a server's providers follow what is stored: on a real database, with real connections that nothing is sent on."""

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, cast

import pytest

from tessera.adapters.providers.openai import OpenAIProvider
from tessera.adapters.storage.ledger.people import credentials_of
from tessera.adapters.storage.sqlite import SqliteStorage
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.people.records import Act, Actor, ActorKind
from tessera.domain.request import Surface
from tessera.domain.routing import Health
from tessera.flows.sending import count_rejection
from tessera.flows.stored_providers import StoredProviders, SwitchedOff
from tessera.flows.world import World
from tessera.ports import Deployment
from tessera.ports.credentials import NewCredential, StoredCredential

pytestmark = pytest.mark.anyio

OPERATOR = Actor(kind=ActorKind.OPERATOR, id="operator", is_operator=True)
UNUSED = cast(Any, None)


class Clock:
    def monotonic_ms(self) -> int:
        return 1_000


class Followed:
    """A world whose one stored provider is `lab`, and what it was opened with."""

    def __init__(self, storage: SqliteStorage) -> None:
        self.storage = storage
        self.credentials = credentials_of(storage)
        self.opened: list[str] = []
        self.world = World(
            storage=storage,
            media=UNUSED,
            providers={"sight": UNUSED},
            catalogue=UNUSED,
            prices=UNUSED,
            deployments={},
            counter_for=UNUSED,
            digest=UNUSED,
            make_id=UNUSED,
            clock=cast(Any, Clock()),
            owner="prc_1",
        )
        configured = frozenset({"configured"})
        self.stored = StoredProviders(self.world, self.credentials, self._open, self._deploy, configured)

    def _open(self, credential: StoredCredential, secret: str) -> OpenAIProvider:
        if not credential.base_url.startswith("https://"):
            raise TesseraError(ErrorCode.INVALID_REQUEST, "not https")
        self.opened.append(secret)
        return OpenAIProvider(credential.base_url, secret)

    def _deploy(self, stored: Mapping[str, tuple[Surface, ...]]) -> dict[str, tuple[Deployment, ...]]:
        return {f"model of {name}": () for name in stored}

    async def put(self, secret: str, provider: str = "lab", base_url: str = "https://lab.example/v1") -> None:
        new = NewCredential(provider=provider, base_url=base_url, surfaces=(Surface.CHAT,), secret=secret)
        await self.credentials.set_credential(Act(actor=OPERATOR, action="credential.set", object_id=provider), new)
        await self.stored.look()


@pytest.fixture
async def followed(tmp_path: Path) -> AsyncIterator[Followed]:
    storage = await SqliteStorage.open(tmp_path)
    found = Followed(storage)
    yield found
    await found.world.drain()
    await found.stored.close()
    await storage.close()


async def error_of(followed: Followed) -> ErrorCode:
    with pytest.raises(TesseraError) as caught:
        await followed.world.provider("lab").send(UNUSED)
    return caught.value.code


async def test_nothing_is_opened_again_that_did_not_change(followed: Followed) -> None:
    await followed.put("first-secret")
    provider = followed.world.provider("lab")
    await followed.put("of another provider", "other", base_url="https://other.example/v1")
    await followed.stored.look()
    assert followed.opened == ["first-secret", "of another provider"]
    assert followed.world.provider("lab") is provider
    assert set(followed.world.providers) == {"sight", "lab", "other"}
    assert set(followed.world.deployments) == {"model of lab", "model of other"}


async def test_a_configured_name_is_left_to_the_settings(followed: Followed) -> None:
    await followed.put("secret", "configured")
    assert (followed.opened, set(followed.world.providers)) == ([], {"sight"})


async def test_a_database_that_does_not_answer_changes_nothing(followed: Followed) -> None:
    await followed.put("first-secret")
    before = followed.world.providers, followed.world.deployments
    await followed.storage.close()
    await followed.stored.look()
    await followed.stored.look()
    assert (followed.world.providers, followed.world.deployments) == before


async def test_an_address_that_is_trusted_no_more_is_not_called(followed: Followed) -> None:
    await followed.put("secret", base_url="http://10.0.0.5/v1")
    assert isinstance(followed.world.provider("lab"), SwitchedOff)
    assert await error_of(followed) is ErrorCode.NO_DEPLOYMENT


async def test_a_401_switches_off_at_once_and_a_new_credential_on_again(followed: Followed) -> None:
    await followed.put("first-secret")
    world, first = followed.world, followed.world.provider("lab")
    count_rejection(world, "lab", first, 401)
    assert await error_of(followed) is ErrorCode.PROVIDER_CREDENTIAL_REJECTED
    await world.drain()
    assert (await followed.credentials.list_credentials())[0].is_off
    await followed.stored.look()
    assert await error_of(followed) is ErrorCode.PROVIDER_CREDENTIAL_REJECTED
    await followed.put("second-secret")
    assert followed.opened == ["first-secret", "second-secret"]
    assert "lab" not in world.health


async def test_a_403_leaves_it_alone_for_a_while_and_is_noted(followed: Followed) -> None:
    await followed.put("first-secret")
    provider = followed.world.provider("lab")
    count_rejection(followed.world, "lab", provider, 403)
    await followed.world.drain()
    (found,) = await followed.credentials.list_credentials()
    assert (found.rejected_status, found.is_off) == (403, False)
    await followed.stored.look()
    assert followed.world.provider("lab") is provider
    assert followed.world.health["lab"].ejected(1_000)


async def test_a_late_refusal_of_the_old_credential_says_nothing_of_the_new_one(followed: Followed) -> None:
    await followed.put("first-secret")
    old = followed.world.provider("lab")
    await followed.put("second-secret")
    new = followed.world.provider("lab")
    for provider, status in ((old, 401), (new, None)):
        count_rejection(followed.world, "lab", provider, status)
    await followed.world.drain()
    assert followed.world.provider("lab") is new
    assert followed.world.health == {}
    assert (await followed.credentials.list_credentials())[0].rejected_at is None


async def test_what_was_known_against_the_old_one_is_forgotten_with_it(followed: Followed) -> None:
    await followed.put("first-secret")
    followed.world.health["lab"] = Health()
    await followed.put("second-secret")
    assert "lab" not in followed.world.health
    act = Act(actor=OPERATOR, action="credential.removed", object_id="lab")
    await followed.credentials.remove_credential(act)
    await followed.stored.look()
    with pytest.raises(TesseraError, match="removed a moment ago"):
        followed.world.provider("lab")
    assert followed.world.deployments == {}
