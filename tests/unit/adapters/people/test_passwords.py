"""Passwords are hashed a few at a time."""

import asyncio
from collections.abc import Iterator

import pytest

from tessera.adapters.people.passwords import Argon2Passwords
from tessera.domain.errors import ErrorCode, TesseraError

pytestmark = pytest.mark.anyio


@pytest.fixture
def passwords() -> Iterator[Argon2Passwords]:
    made = Argon2Passwords(memory_kib=8 * 1024, at_once=1, waiting_max=3)
    yield made
    made.close()


async def test_a_password_matches_its_own_hash_only(passwords: Argon2Passwords) -> None:
    hashed = await passwords.hash("correct horse")
    assert hashed.startswith("$argon2id$v=19$m=8192,t=3,p=1$")
    assert await passwords.hash("correct horse") != hashed, "every hash has its own salt"
    assert await passwords.matches("correct horse", hashed)
    assert not await passwords.matches("correct hors", hashed)
    assert not await passwords.matches("correct horse", None)
    assert not await passwords.matches("nobody's password", None)
    assert not await passwords.matches("correct horse", "not a hash")


async def test_the_same_text_typed_otherwise_is_the_same_password(passwords: Argon2Passwords) -> None:
    assert await passwords.matches("cafe\u0301 au lait", await passwords.hash("caf\u00e9 au lait"))


async def test_more_than_may_wait_are_refused_and_the_rest_is_answered(passwords: Argon2Passwords) -> None:
    results = await asyncio.gather(*(passwords.hash(f"password {n}") for n in range(10)), return_exceptions=True)
    refused = [one for one in results if isinstance(one, TesseraError)]
    assert [one.code for one in refused] == [ErrorCode.OVERLOADED] * 6
    assert len([one for one in results if isinstance(one, str)]) == 4
    assert await passwords.hash("again")


async def test_who_leaves_while_waiting_gives_the_place_back_when_the_hash_is_done(passwords: Argon2Passwords) -> None:
    tasks = [asyncio.create_task(passwords.hash("x")) for _ in range(4)]
    await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    with pytest.raises(TesseraError):
        await passwords.hash("the first is still hashed")
    for _ in range(500):
        if passwords._taken == 0:
            break
        await asyncio.sleep(0.01)
    assert await passwords.hash("now there is room")
