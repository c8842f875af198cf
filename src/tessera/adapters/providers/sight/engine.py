"""The pool of worker processes: bounded queue, bounded time, restarted when one breaks, outside the event loop.

Always holds: a picture from a stranger is decoded in a process of its own that holds no secret, no connection and no
more memory than allowed; a full queue refuses at once; a worker that hangs or dies takes only its own picture with it.
"""

import asyncio
import os
import struct
import sys
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import msgspec

from tessera.adapters.providers.sight.observation import Observation, SightLimits
from tessera.domain.errors import ErrorCode, TesseraError

LENGTH = struct.Struct(">I")
PASSED_ON = ("PATH", "PYTHONPATH", "LANG", "LC_ALL", "TESSDATA_PREFIX", "LD_LIBRARY_PATH")
"""Of the environment a worker gets only these: no credential is among them."""
QUEUE_MAX = 64
"""Pictures waiting or in work: at 0.2 s each one worker is 13 s behind when it is full."""
START_SECONDS_MAX = 30.0


class WorkerEndedError(Exception):
    """The process ended in the middle of a picture. `fresh` when it was started for that picture."""

    def __init__(self, *, fresh: bool) -> None:
        super().__init__("the worker process ended")
        self.fresh = fresh


class Worker:
    """One process, started when first needed."""

    def __init__(self, limits: SightLimits) -> None:
        self._limits = limits
        self._process: asyncio.subprocess.Process | None = None

    async def ask(self, image: bytes) -> list[Any]:
        """The worker's reply.

        Raises WorkerEndedError and TimeoutError; the process is gone then, and the next call starts another.
        """
        fresh = self._process is None
        try:
            async with asyncio.timeout(self._limits.seconds_max + (START_SECONDS_MAX if fresh else 0)):
                process = self._process or await self._start()
                return await exchange(process, msgspec.msgpack.encode((image, self._limits)))
        except (BrokenPipeError, ConnectionError, asyncio.IncompleteReadError) as error:
            await self.stop()
            raise WorkerEndedError(fresh=fresh) from error
        except BaseException:  # Out of time or cancelled amid an exchange: what the pipe holds is no longer ours.
            await self.stop()
            raise

    async def _start(self) -> asyncio.subprocess.Process:
        kept = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        one_thread = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "OMP_THREAD_LIMIT": "1"}
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tessera.adapters.providers.sight.worker",
            str(self._limits.memory_bytes_max),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env=kept | one_thread,
        )
        return self._process

    async def stop(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        with suppress(ProcessLookupError):
            process.kill()
        if process.stdin is not None:
            process.stdin.close()
        await process.wait()


async def exchange(process: asyncio.subprocess.Process, body: bytes) -> list[Any]:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(LENGTH.pack(len(body)))
    process.stdin.write(body)
    await process.stdin.drain()
    head = await process.stdout.readexactly(LENGTH.size)
    reply = await process.stdout.readexactly(LENGTH.unpack(head)[0])
    answer: list[Any] = msgspec.msgpack.decode(reply)
    return answer


async def ask_twice(worker: Worker, image: bytes) -> list[Any]:
    """A worker that died while idle, or of the picture before, is no fault of this picture: a fresh one is asked."""
    try:
        return await worker.ask(image)
    except WorkerEndedError as error:
        if error.fresh:
            raise
        return await worker.ask(image)


class SightEngine:
    """Looks at pictures. Used from one event loop; `close` ends its workers."""

    def __init__(self, workers: int = 1, queue_max: int = QUEUE_MAX, limits: SightLimits | None = None) -> None:
        self.limits = limits or SightLimits()
        self._queue_max = queue_max
        self._waiting = 0
        self._idle = deque(Worker(self.limits) for _ in range(max(1, workers)))
        self._all = tuple(self._idle)
        self._free = asyncio.Semaphore(len(self._all))
        self._seconds_each = 0.25
        self._closed = False

    async def observe_all(self, images: Sequence[bytes]) -> tuple[Observation, ...]:
        """What is seen in each picture, in order.

        Raises [overloaded] with `retry_after_s` when the queue is full, [image_too_large, unsupported_image_format,
        image_parse_error] for a picture that cannot be looked at, with its index in `param`.
        """
        for index, image in enumerate(images):
            if len(image) > self.limits.bytes_max:
                raise TesseraError(
                    ErrorCode.IMAGE_TOO_LARGE,
                    f"The image has {len(image):,} bytes and at most {self.limits.bytes_max:,} are accepted.",
                    param=f"images[{index}]",
                )
        self._enter(len(images))
        try:
            # One call's pictures go one after the other, so that it cannot take every worker from the others.
            return tuple([await self._observe(image, index) for index, image in enumerate(images)])
        finally:
            self._waiting -= len(images)

    def _enter(self, count: int) -> None:
        if self._closed:
            raise TesseraError(ErrorCode.OVERLOADED, "The server is shutting down. Try again.", retry_after_s=1)
        # A call larger than the whole queue is taken when nothing else waits: it could never be taken otherwise.
        if self._waiting and self._waiting + count > self._queue_max:
            wait = max(1, round(self._waiting * self._seconds_each / len(self._all)))
            raise TesseraError(
                ErrorCode.OVERLOADED,
                f"{self._waiting} images are already waiting to be looked at. Try again in {wait} s.",
                retry_after_s=wait,
            )
        self._waiting += count

    async def _observe(self, image: bytes, index: int) -> Observation:
        async with self._free:
            worker = self._idle.popleft()
            started = asyncio.get_running_loop().time()
            try:
                reply = await ask_twice(worker, image)
            except WorkerEndedError as error:
                raise TesseraError(
                    ErrorCode.IMAGE_PARSE_ERROR,
                    "The image could not be looked at: decoding it ended the process. Send it in another format.",
                    param=f"images[{index}]",
                ) from error
            except TimeoutError as error:
                raise TesseraError(
                    ErrorCode.OVERLOADED,
                    f"Looking at the image took over {self.limits.seconds_max:.0f} s. Try again or send a smaller one.",
                    retry_after_s=round(self.limits.seconds_max),
                ) from error
            finally:
                self._idle.append(worker)
            self._seconds_each = 0.8 * self._seconds_each + 0.2 * (asyncio.get_running_loop().time() - started)
        if reply[0] == "error":
            raise TesseraError(ErrorCode(reply[1]), reply[2], param=f"images[{index}]")
        return msgspec.convert(reply[1], Observation)

    async def close(self) -> None:
        """Ends the workers; further calls are refused."""
        self._closed = True
        for worker in self._all:
            await worker.stop()
