"""The client's own connections on both event loops: what they cost and what they leave behind."""

import asyncio
import contextlib
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from contract.providers.certificates import certificate, contexts
from contract.providers.plain_server import BODY, JSON, LIMITS, OK, Plain, call, run, serving
from tessera.adapters.providers.openai.connections import TransportLimits
from tessera.adapters.providers.openai.pool import PooledConnections
from tessera.domain.errors import ErrorCode, TesseraError

__all__ = ["certificate", "run"]


def sockets() -> set[str]:
    """The sockets this process has open, each by its own name: those of an earlier test may close meanwhile."""
    links = set()
    for descriptor in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            links.add(str(descriptor.readlink()))
    return {link for link in links if link.startswith("socket:")}


async def settled(condition: Callable[[], bool]) -> None:
    """Returns as soon as the condition holds, fails after twenty seconds."""
    for _ in range(2000):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("never settled")


def unfinished_timers() -> int:
    """Timers of asyncio's own loop that would still fire."""
    scheduled: list[asyncio.TimerHandle] = getattr(asyncio.get_running_loop(), "_scheduled", [])
    return sum(not timer.cancelled() for timer in scheduled)


@pytest.mark.parametrize("body", [BODY, (b"a" * 3_000_000,)], ids=["small", "large"])
@pytest.mark.parametrize("secure", [False, True], ids=["plain", "TLS"])
def test_a_call_cancelled_at_any_step_leaves_nothing_behind(
    run: Any, secure: bool, body: tuple[bytes, ...], certificate: Path
) -> None:
    async def test() -> None:
        mine, theirs = contexts(certificate) if secure else (None, None)
        plain = Plain([JSON[:20], JSON[20:-3], JSON[-3:]])
        async with serving(plain, mine) as address:
            pool = PooledConnections(address.replace("127.0.0.1", "localhost"), LIMITS, theirs)
            await call(pool, body)  # loads what is loaded once
            await pool.close()
            await settled(lambda: not plain.open)
            before, timers, tasks = sockets(), unfinished_timers(), len(asyncio.all_tasks())
            ended_first = 0
            for steps in range(400):
                for warm in (False, True):
                    if warm:
                        await call(pool, body)
                    task = asyncio.create_task(call(pool, body))
                    for _ in range(steps):
                        await asyncio.sleep(0)
                    ended_first += task.done()
                    task.cancel()
                    await asyncio.wait([task])
                    assert task.cancelled() or task.result() == (200, b'{"a": 1}')
                    assert pool._running == 0
                    await pool.close()
                if ended_first > 6:
                    break
            assert ended_first > 6
            await settled(lambda: not plain.open)
            await settled(lambda: sockets() <= before)
            await settled(lambda: len(asyncio.all_tasks()) <= tasks)
            assert unfinished_timers() <= timers + 1  # the one that `settled` may wait on

    run(test)


def test_a_thousand_calls_at_once_are_answered_and_leave_nothing_behind(run: Any) -> None:
    async def test() -> None:
        plain = Plain([JSON])
        async with serving(plain) as address:
            before, timers = sockets(), unfinished_timers()
            pool = PooledConnections(address, LIMITS)
            replies = await asyncio.gather(*(call(pool) for _ in range(1000)))
            assert replies == [(200, b'{"a": 1}')] * 1000
            assert plain.connections <= 1000
            opened = plain.connections
            await asyncio.gather(*(call(pool) for _ in range(1000)))
            assert plain.connections == opened
            await pool.close()
            await settled(lambda: sockets() <= before)
        assert unfinished_timers() <= timers

    run(test)


def test_closing_the_pool_ends_calls_in_flight_and_calls_being_connected(run: Any) -> None:
    async def test() -> None:
        async with serving(Plain([JSON[:-1]])) as address:
            pool = PooledConnections(address, LIMITS)
            reading = asyncio.create_task(call(pool))
            await asyncio.sleep(0.1)
            connecting = asyncio.create_task(call(pool))
            await asyncio.sleep(0)
            await pool.close()
            for task in (reading, connecting):
                with pytest.raises(TesseraError) as caught:
                    await task
                assert caught.value.code is ErrorCode.PROVIDER_ERROR
            assert pool._running == 0

    run(test)


def test_closing_a_reply_wakes_whoever_reads_it(run: Any) -> None:
    async def test() -> None:
        async with serving(Plain([JSON[:-1]])) as address:
            pool = PooledConnections(address, LIMITS)
            reply = await pool.post("/x", {}, BODY)
            assert await reply.read() == b'{"a": 1'
            reading = asyncio.create_task(reply.read())
            await asyncio.sleep(0.01)
            await reply.close()
            for attempt in (reading, reply.read()):
                with pytest.raises(TesseraError):
                    await attempt
            await pool.close()

    run(test)


# ---- what is kept ----------------------------------------------------------------------------------------------


def test_idle_connections_are_closed_in_time_and_the_timer_ends(run: Any) -> None:
    async def test() -> None:
        plain = Plain([JSON])
        async with serving(plain) as address:
            pool = PooledConnections(address, TransportLimits(idle_s=0.3))
            await asyncio.gather(*(call(pool) for _ in range(5)))
            for _ in range(10):
                await asyncio.sleep(0.05)
                await call(pool)
            assert len(plain.open) == 1
            await settled(lambda: not plain.open)
            assert pool._sweep is None
            await pool.close()

    run(test)


def test_bytes_nobody_asked_for_end_a_kept_connection(run: Any) -> None:
    async def test() -> None:
        plain = Plain([JSON])
        async with serving(plain) as address:
            pool = PooledConnections(address, LIMITS)
            await call(pool)
            next(iter(plain.open)).write(JSON)
            await settled(lambda: not plain.open)
            assert await call(pool) == (200, b'{"a": 1}')
            assert plain.connections == 2
            await pool.close()

    run(test)


def test_a_reply_before_the_body_was_sent_is_the_answer_and_ends_the_connection(run: Any) -> None:
    refusal = b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\n{}"

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(refusal)
        await reader.read()
        writer.close()

    async def test() -> None:
        server = await asyncio.start_server(refuse, "127.0.0.1", 0, limit=100_000)
        pool = PooledConnections(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", LIMITS)
        body = (b"a" * 50_000_000,)
        reader = asyncio.create_task(call(pool, body))
        assert await reader == (413, b"{}")
        assert not pool._idle
        await pool.close()
        server.close()

    run(test)


def test_a_body_that_is_not_read_is_not_collected(run: Any) -> None:
    sent = 0

    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK + b"Content-Length: 100000000\r\n\r\n")
        try:
            while sent < 100_000_000:
                writer.write(b"a" * 100_000)
                await writer.drain()
                sent += 100_000
            await reader.read()
        except ConnectionError:
            pass
        finally:
            writer.close()

    async def test() -> None:
        server = await asyncio.start_server(flood, "127.0.0.1", 0)
        pool = PooledConnections(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", LIMITS)
        reply = await pool.post("/x", {}, ())
        await asyncio.sleep(0.5)
        assert sent < 20_000_000
        assert len(await reply.read()) < 1_000_000
        received = 0
        while piece := await reply.read():
            received += len(piece)
        assert received > 99_000_000
        await reply.close()
        await pool.close()
        server.close()

    run(test)


def test_a_whole_small_reply_is_read_without_another_turn_of_the_loop(run: Any) -> None:
    async def test() -> None:
        async with serving(Plain([JSON])) as address:
            pool = PooledConnections(address, LIMITS)
            reply = await pool.post("/x", {}, BODY)
            reading = reply.read()
            with pytest.raises(StopIteration) as whole:
                reading.send(None)
            assert whole.value.value == b'{"a": 1}'
            await reply.close()
            await pool.close()

    run(test)


# ---- addresses -------------------------------------------------------------------------------------------------


def test_a_silent_or_closed_address_does_not_hold_up_the_next(run: Any) -> None:
    async def test() -> None:
        plain = Plain([JSON])
        async with serving(plain) as address:
            with socket.socket() as full, contextlib.ExitStack() as fillers:
                full.bind(("127.0.0.2", plain.port))
                full.listen(0)
                for _ in range(3):
                    filler = fillers.enter_context(socket.socket())
                    filler.setblocking(False)
                    filler.connect_ex(full.getsockname())
                before = sockets()
                pool = PooledConnections(address, TransportLimits(connect_s=1.5))
                pool._dialler._addresses = ["127.0.0.3", "127.0.0.2", "127.0.0.1"]
                started = asyncio.get_running_loop().time()
                assert await call(pool) == (200, b'{"a": 1}')
                assert asyncio.get_running_loop().time() - started < 1.4
                await pool.close()
                await settled(lambda: sockets() <= before)

    run(test)


def test_a_name_is_asked_once_for_calls_at_the_same_time(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = 0

    async def test() -> None:
        loop = asyncio.get_running_loop()
        ask = loop.getaddrinfo

        async def counted(*wanted: Any, **more: Any) -> Any:
            nonlocal asked
            asked += wanted[0] == "localhost"
            return await ask(*wanted, **more)

        monkeypatch.setattr(loop, "getaddrinfo", counted, raising=False)
        async with serving(Plain([JSON])) as address:
            pool = PooledConnections(address.replace("127.0.0.1", "localhost"), LIMITS)
            await asyncio.gather(*(call(pool) for _ in range(20)))
            await pool.close()
        assert asked == 1

    run(test)
