"""An event loop without a machine: time is a number, and a seeded dice picks which ready callback runs next."""

import asyncio
import heapq
import sys
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextvars import Context
from random import Random
from typing import Any

THROWS_MAX = 50
SLOWEST_THREAD_S = 0.4


class ProcessDiedError(BaseException):
    """Unwinds whatever a dead process was doing. No code of the product can catch and outlive it."""


class VirtualTime:
    """Seconds since the simulation began, and how far the wall clock has been moved from them."""

    def __init__(self, wall_start_us: int) -> None:
        self.now = 0.0
        self.wall_start_us = wall_start_us
        self.wall_shift_us = 0

    def wall_us(self) -> int:
        """Microseconds since 1970 by a clock that may jump."""
        return self.wall_start_us + self.wall_shift_us + int(self.now * 1_000_000)


class SimLoop(asyncio.AbstractEventLoop):
    """One process's loop. `step` runs one ready callback; `next_time` is when a timer is due.

    `shuffled` runs ready callbacks in any order, as arrivals from many sockets do; otherwise in asyncio's own.
    """

    def __init__(self, time: VirtualTime, random: Random, *, shuffled: bool) -> None:
        self._virtual = time
        self._random = random
        self._shuffled = shuffled
        self._ready: list[asyncio.Handle] = []
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._made = 0
        self.tasks: list[asyncio.Task[Any]] = []
        self.problems: list[str] = []
        self.dead = False

    # ---- what asyncio asks of a loop ----------------------------------------------------------------------------

    def time(self) -> float:
        return self._virtual.now

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return not self.dead

    def is_closed(self) -> bool:
        return self.dead

    def call_soon(  # type: ignore[override]
        self, callback: Any, *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        if not self.dead:
            self._ready.append(handle)
        return handle

    call_soon_threadsafe = call_soon  # type: ignore[assignment]

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Any, *args: Any, context: Context | None = None
    ) -> Any:
        return self.call_at(self._virtual.now + delay, callback, *args, context=context)

    def call_at(  # type: ignore[override]
        self, when: float, callback: Any, *args: Any, context: Context | None = None
    ) -> Any:
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        if not self.dead:
            self._made += 1
            heapq.heappush(self._timers, (when, self._made, handle))
            handle._scheduled = True  # type: ignore[attr-defined]
        return handle

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Cancelled timers stay in the heap and are passed over."""

    def create_future(self) -> "asyncio.Future[Any]":
        return asyncio.Future(loop=self)

    def create_task(  # type: ignore[override]
        self, coro: Coroutine[Any, Any, Any], *, name: str | None = None, context: Context | None = None
    ) -> "asyncio.Task[Any]":
        if self.dead:
            coro.close()
            raise ProcessDiedError
        task = asyncio.Task(coro, loop=self, name=name, context=context)
        self.tasks.append(task)
        return task

    def run_in_executor(self, executor: object, func: Callable[..., Any], *args: Any) -> "asyncio.Future[Any]":  # type: ignore[override]
        """A thread of another's pool, run whole at some later moment, in this thread."""
        future = self.create_future()
        delay = 0.0 if self._random.random() < 0.7 else self._random.random() * SLOWEST_THREAD_S
        self.call_later(delay, self._run_in_thread, future, func, args)
        return future

    @staticmethod
    def _run_in_thread(future: "asyncio.Future[Any]", func: Callable[..., Any], args: tuple[Any, ...]) -> None:
        if future.cancelled():
            return
        try:
            result = func(*args)
        except Exception as error:
            if not future.cancelled():
                future.set_exception(error)
        else:
            if not future.cancelled():
                future.set_result(result)

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if not self.dead and not isinstance(error, ProcessDiedError):
            self.problems.append(f"{context.get('message')}: {error!r}")

    # ---- what the simulator does with it ------------------------------------------------------------------------

    def has_ready(self) -> bool:
        """Whether a callback could run now."""
        return bool(self._ready)

    def next_time(self) -> float | None:
        """When the next timer is due."""
        while self._timers and self._timers[0][2].cancelled():
            heapq.heappop(self._timers)
        return self._timers[0][0] if self._timers else None

    def wake(self) -> None:
        """Makes due timers ready."""
        while (when := self.next_time()) is not None and when <= self._virtual.now:
            self._ready.append(heapq.heappop(self._timers)[2])

    def step(self) -> int:
        """Runs one ready callback; says which."""
        chosen = self._random.randrange(len(self._ready)) if self._shuffled and len(self._ready) > 1 else 0
        handle = self._ready.pop(chosen)
        if not handle.cancelled():
            asyncio._set_running_loop(self)
            try:
                handle._run()
            finally:
                asyncio._set_running_loop(None)
        return chosen

    def run_dead(self) -> None:
        """Ends everything at once: no callback runs again, no `finally` of the product has an effect."""
        self.dead = True
        self._ready.clear()
        self._timers.clear()
        asyncio._set_running_loop(self)
        try:
            for task in self.tasks:
                if not task.done():
                    task._log_destroy_pending = False  # type: ignore[attr-defined]
                    _unwind(task.get_coro())
        finally:
            asyncio._set_running_loop(None)
        self.tasks.clear()


def _unwind(coroutine: Any) -> None:
    for _ in range(THROWS_MAX):
        try:
            coroutine.throw(ProcessDiedError())
        except BaseException:
            return
    raise AssertionError(f"{coroutine!r} outlived its process")


def finish_generators() -> Callable[[], None]:
    """Lets abandoned asynchronous generators end as asyncio ends them; gives what undoes it."""
    before = sys.get_asyncgen_hooks()

    def finalizer(generator: AsyncGenerator[Any, Any]) -> None:
        loop = asyncio._get_running_loop()
        if isinstance(loop, SimLoop) and not loop.dead:
            loop.create_task(generator.aclose())

    sys.set_asyncgen_hooks(firstiter=None, finalizer=finalizer)
    return lambda: sys.set_asyncgen_hooks(*before)
