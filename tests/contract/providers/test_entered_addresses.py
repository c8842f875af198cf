"""The guard of entered addresses sits where a provider's socket is made (T28): no name, answer or later look-up passes
it; and a provider that is retired ends with its last call."""

import asyncio
from typing import Any

import pytest

from contract.providers.plain_server import BODY, JSON, LIMITS, OK, Plain, call, outcome, run, serving
from tessera.adapters.media.addresses import AddressPolicy
from tessera.adapters.providers.openai.pool import PooledConnections
from tessera.domain.errors import ErrorCode, TesseraError

__all__ = ["run"]


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "2130706433", "0x7f.0.0.1", "127.1", "0.0.0.0"]
)
def test_no_spelling_of_a_forbidden_address_is_dialled(run: Any, host: str) -> None:
    async def test() -> None:
        plain = Plain([JSON])
        async with serving(plain) as address:
            guarded = PooledConnections(address.replace("127.0.0.1", host), LIMITS, allows=AddressPolicy().allows)
            assert await outcome(guarded) is ErrorCode.PROVIDER_ERROR
        assert plain.connections == 0

    run(test)


@pytest.mark.parametrize("host", ["a" * 64 + ".example", "a..example", ".example", "-", "nobody.invalid", "x" * 250])
def test_a_name_that_cannot_be_looked_up_is_a_provider_that_cannot_be_reached(run: Any, host: str) -> None:
    """Not a mistake of ours: a call goes on to the next deployment."""

    async def test() -> None:
        pool = PooledConnections(f"http://{host}:9/v1", LIMITS, allows=AddressPolicy().allows)
        assert await outcome(pool) is ErrorCode.PROVIDER_ERROR

    run(test)


def test_the_same_server_answers_whoever_the_policy_lets_through(run: Any) -> None:
    async def test() -> None:
        plain = Plain([JSON])
        async with serving(plain) as address:
            for host in ("127.0.0.1", "localhost"):
                allowed = PooledConnections(
                    address.replace("127.0.0.1", host),
                    LIMITS,
                    allows=AddressPolicy(allow_private_networks=True).allows,
                )
                assert await outcome(allowed) == (200, b'{"a": 1}')
        assert plain.connections == 2

    run(test)


def test_every_new_connection_is_checked_and_not_the_name_once(run: Any) -> None:
    """DNS rebinding: what a name led to a moment ago says nothing of where it leads now."""

    async def test() -> None:
        plain = Plain([JSON], close=True)
        verdicts = [True, True, False]
        asked: list[str] = []

        def allows(address: str) -> bool:
            asked.append(address)
            return verdicts.pop(0)

        async with serving(plain) as address:
            pool = PooledConnections(address, LIMITS, allows=allows)
            for _ in range(2):
                assert await call(pool) == (200, b'{"a": 1}')
                await asyncio.sleep(0.01)
            with pytest.raises(TesseraError, match="could not be reached") as caught:
                await call(pool)
            await pool.close()
        assert "127.0.0.1" not in caught.value.message
        assert asked == ["127.0.0.1"] * 3
        assert plain.connections == 2

    run(test)


def test_one_forbidden_answer_refuses_a_name(run: Any) -> None:
    """`localhost` has two addresses where there is IPv6; with one of them forbidden none is dialled."""

    async def test() -> None:
        plain = Plain([JSON])
        async with serving(plain) as address:
            loop = asyncio.get_running_loop()
            port = int(address.rpartition(":")[2].partition("/")[0])
            found = {str(answer[4][0]) for answer in await loop.getaddrinfo("localhost", port)}
            for forbidden in found:
                pool = PooledConnections(
                    address.replace("127.0.0.1", "localhost"),
                    LIMITS,
                    allows=lambda one, forbidden=forbidden: one != forbidden,
                )
                assert await outcome(pool) is ErrorCode.PROVIDER_ERROR
        assert plain.connections == 0

    run(test)


def test_a_retired_provider_ends_with_its_last_call(run: Any) -> None:
    async def test() -> None:
        head = OK + b"Content-Type: application/json\r\nContent-Length: 8\r\n\r\n"
        plain = Plain([head, b'{"a": 1}'])
        async with serving(plain) as address:
            pool = PooledConnections(address, LIMITS)
            running = await pool.post("/chat/completions", {}, BODY)
            await call(pool)
            assert len(plain.open) == 2
            pool.retire()
            for _ in range(1000):
                if len(plain.open) == 1:
                    break
                await asyncio.sleep(0.01)
            assert len(plain.open) == 1, "what was idle is closed, what runs goes on"
            body = b""
            while piece := await running.read():
                body += piece
            await running.close()
            assert body == b'{"a": 1}'
            for _ in range(1000):
                if not plain.open:
                    break
                await asyncio.sleep(0.01)
            assert not plain.open

    run(test)
