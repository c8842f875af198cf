"""Several processes behind one listening socket: started, started again when they die, ended together.

The parent serves nothing and runs no thread: it forks workers, waits for signals and passes them on. Each worker has
its own connections, its own lease and its own writer; the kernel deals connections out among them.
"""

import contextlib
import os
import select
import signal
import time
from collections.abc import Callable

import click

from tessera.server.signals import ending_signals

_LOOK_SECONDS = 0.05
SHORT_LIFE_SECONDS = 5
"""A worker that lived no longer is started again only after a pause."""

PAUSE_SECONDS = 1

Serve = Callable[[int, int], None]
"""What a worker does: its place from 0 on, and the descriptor on which it says, in one line, that it answers."""


class Workers:
    """`count` workers that run `serve`. `announce` gets what they said when they answered, once all of them do."""

    def __init__(self, count: int, serve: Serve, announce: Callable[[str], None]) -> None:
        self._count = count
        self._serve = serve
        self._announce = announce
        self._places: dict[int, int] = {}
        self._started: dict[int, float] = {}
        self._due: list[tuple[float, int]] = []
        self._said = b""
        self._all_answer = False
        self._stopping = False
        self._failed = False
        self._signals = (signal.SIGCHLD, *ending_signals())
        self._hear, self._say = os.pipe()
        self._alive, self._kept_open = os.pipe()

    def run(self, stop_listening: Callable[[], None]) -> bool:
        """Runs until all workers have ended; whether that was asked for. In a worker it raises SystemExit.

        `stop_listening` closes the parent's own hold on the socket, so that nobody waits on it in vain.
        """
        signal.pthread_sigmask(signal.SIG_BLOCK, self._signals)
        for place in range(self._count):
            self._fork(place)
        while self._places or self._due:
            busy = self._due or not self._all_answer
            found = signal.sigtimedwait(self._signals, _LOOK_SECONDS if busy else 3600)
            if found is not None and found.si_signo == signal.SIGCHLD:
                self._reap()
            elif found is not None:
                self._stop(stop_listening)
            self._hear_workers()
            if self._failed and not self._stopping:
                self._stop(stop_listening)
            for due, place in [waiting for waiting in self._due if waiting[0] <= time.monotonic()]:
                self._due.remove((due, place))
                self._fork(place)
        return not self._failed

    def _fork(self, place: int) -> None:
        pid = os.fork()
        if pid:
            self._places[pid] = place
            self._started[pid] = time.monotonic()
            return
        # A group of its own: what a terminal interrupts is the parent, which passes it on once.
        os.setpgid(0, 0)
        os.close(self._kept_open)
        os.close(self._hear)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, self._signals)
        self._serve(place, self._say)
        raise SystemExit(0)

    @property
    def parent(self) -> int:
        """A descriptor that comes to its end when the parent is gone."""
        return self._alive

    def _reap(self) -> None:
        while self._places:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            place, lived = self._places.pop(pid), time.monotonic() - self._started.pop(pid)
            if self._stopping:
                continue
            if not self._all_answer:
                self._failed = True
                continue
            code = os.waitstatus_to_exitcode(status)
            click.echo(f"Worker {place} (process {pid}) ended with {code}; it is started again.", err=True)
            pause = PAUSE_SECONDS if lived < SHORT_LIFE_SECONDS else 0
            self._due.append((time.monotonic() + pause, place))

    def _stop(self, stop_listening: Callable[[], None]) -> None:
        # A second wish to end is SIGINT, by which a worker knows it from one that reached it and its parent alike.
        number = signal.SIGINT if self._stopping else signal.SIGTERM
        self._stopping = True
        self._due.clear()
        stop_listening()
        for pid in self._places:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def _hear_workers(self) -> None:
        if not select.select([self._hear], [], [], 0)[0]:
            return
        said = os.read(self._hear, 65_536)
        if self._all_answer:
            # One that was started again. Nobody is told, but a pipe that nobody reads would stop it when it is full.
            return
        self._said += said
        lines = self._said.decode().splitlines()
        if self._said.endswith(b"\n") and len(lines) >= self._count:
            self._all_answer = True
            for line in filter(None, lines):
                self._announce(line)
