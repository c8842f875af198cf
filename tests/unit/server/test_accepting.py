"""The queue of connections that wait to be taken up, on a real socket."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator

import pytest

from tessera.server.accepting import (
    QUIET_SECONDS,
    STANDING_SECONDS,
    TAKEN_MAX,
    WAITING_MAX,
    AcceptQueue,
    tells_its_length,
)

USUAL_MAX = 400
DIALLED = WAITING_MAX + TAKEN_MAX + 10


@contextlib.contextmanager
def dialled(listener: socket.socket, count: int) -> Iterator[None]:
    """So many clients whose connections the kernel has made."""
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            stack.enter_context(socket.create_connection(listener.getsockname(), timeout=10))
        yield


def test_a_queue_that_stays_long_is_bounded_and_one_that_does_not_is_not() -> None:
    async def work() -> None:
        made = []

        def make() -> asyncio.Protocol:
            made.append(asyncio.Protocol())
            return made[-1]

        with socket.create_server(("127.0.0.1", 0), backlog=USUAL_MAX) as listener:
            if not tells_its_length(listener):
                pytest.skip("the system does not say how many wait")
            listener.setblocking(False)
            queue = AcceptQueue(listener, USUAL_MAX, make)
            queue.look(10.0)
            assert not queue.bounded
            with dialled(listener, DIALLED):
                queue.look(STANDING_SECONDS / 2)
                assert not queue.bounded, "a burst"
                queue.look(STANDING_SECONDS / 2)
                assert queue.bounded
                late = socket.socket()
                late.setblocking(False)
                with contextlib.suppress(BlockingIOError):
                    late.connect(listener.getsockname())
                for _ in range(DIALLED // TAKEN_MAX + 2):
                    queue.look(0.01)
                    await asyncio.sleep(0.01)
                assert len(made) >= DIALLED
                queue.look(QUIET_SECONDS)
                assert not queue.bounded
                late.close()

    asyncio.run(work())
