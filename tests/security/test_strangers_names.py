"""T27, T33: a stranger's name server that says nothing holds up no other name and no stop."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tessera.adapters.media.fetch import GuardedFetch
from tessera.adapters.media.limits import MediaLimits
from tessera.adapters.media.names import LOOKUPS_MAX, StrangersResolver
from tessera.domain.errors import ErrorCode, TesseraError

pytestmark = pytest.mark.anyio

AT_ONCE = 40
"""More than a loop has threads for names."""


@pytest.fixture
def silence(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """A network where nobody answers for names under slow.test until this is set."""
    ends, ask = threading.Event(), socket.getaddrinfo

    def asked(host: Any, *arguments: Any, **options: Any) -> Any:
        if str(host).endswith(".slow.test"):
            ends.wait()
            raise socket.gaierror(socket.EAI_AGAIN, "no answer")
        return ask(host, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", asked)
    yield ends
    ends.set()


async def test_names_that_nobody_answers_for_hold_up_no_other_name(silence: threading.Event) -> None:
    fetch = GuardedFetch(MediaLimits(fetch_s=0.2))

    async def refused(number: int) -> None:
        with pytest.raises(TesseraError) as caught:
            await fetch.get(f"http://n{number}.slow.test/a.png")
        assert caught.value.code is ErrorCode.FAILED_TO_DOWNLOAD_IMAGE

    try:
        await asyncio.gather(*(refused(number) for number in range(AT_ONCE)))
        async with asyncio.timeout(20):
            # As a provider's name is asked for.
            assert await asyncio.get_running_loop().getaddrinfo("localhost", 80)
    finally:
        silence.set()
        await fetch.close()


async def test_only_so_many_names_are_looked_up_at_once(silence: threading.Event) -> None:
    resolver = StrangersResolver()
    waiting = [asyncio.create_task(resolver.resolve(f"n{number}.slow.test")) for number in range(LOOKUPS_MAX)]
    await asyncio.sleep(0)
    with pytest.raises(OSError, match="already"):
        await resolver.resolve("localhost")
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    # Nobody waits for them, but each still has its thread.
    with pytest.raises(OSError, match="already"):
        await resolver.resolve("localhost")


async def test_a_name_is_answered_with_its_addresses_or_an_error() -> None:
    resolver = StrangersResolver()
    assert {answer["host"] for answer in await resolver.resolve("localhost", 80)} <= {"127.0.0.1", "::1"}
    with pytest.raises(socket.gaierror):
        await resolver.resolve("no-such-name.invalid")
    with pytest.raises((socket.gaierror, UnicodeError)):
        await resolver.resolve("a" * 64 + ".example")
    assert await resolver.resolve("localhost", 80)
