"""Serves the HTTP application on a socket: bounds on request heads, drain on a signal, nothing left behind."""

import asyncio
import contextlib
import gc
import signal
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from typing import TYPE_CHECKING, Any, cast

import click
import uvicorn
import uvloop
from starlette.types import ASGIApp

from tessera.http.door import Door
from tessera.server.accepting import AcceptQueue, tells_its_length
from tessera.server.connection import bounded_connection
from tessera.server.signals import ending_signals
from tessera.settings import Settings

if TYPE_CHECKING:
    from tessera.bootstrap import Served

BACKLOG = 2048
_CUT_SECONDS = 5
"""How long calls that were cut at the end of the drain may take to say so and settle."""


class Server(uvicorn.Server):
    """A server that leaves signals to whoever started it, and says when it answers."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.answers = asyncio.Event()
        self._asked_to_stop = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Starts, and lets whoever waits for `answers` go on."""
        await super().startup(sockets)
        self.answers.set()

    def make_connection(self) -> asyncio.Protocol:
        """A protocol for a connection, as the listening server makes one."""
        kind = cast(Callable[..., asyncio.Protocol], self.config.http_protocol_class)
        return kind(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)

    def listen_for_signals(self, *, alone: bool = True) -> None:
        """From now on SIGINT, SIGTERM and, unless it is ignored, SIGHUP end `until_signal`; a second one ends the drain
        at once.

        Of a worker, which is not `alone`, only SIGINT does: its parent passes on the SIGTERM that a service manager may
        have sent to all processes at once, so that two of them are one wish.
        """
        loop = asyncio.get_running_loop()
        for number in ending_signals():
            loop.add_signal_handler(number, self._stop, alone or number == signal.SIGINT)

    async def until_signal(self) -> None:
        """Returns once the server was asked to stop."""
        await self._asked_to_stop.wait()

    def stop_at_end_of(self, descriptor: int) -> None:
        """Asks the server to stop when a pipe comes to its end: whoever held the other side is gone."""
        loop = asyncio.get_running_loop()

        def ended() -> None:
            loop.remove_reader(descriptor)
            self._asked_to_stop.set()

        loop.add_reader(descriptor, ended)

    def _stop(self, insists: bool) -> None:
        self.force_exit = self.force_exit or (insists and self._asked_to_stop.is_set())
        self._asked_to_stop.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Takes none: a signal asks `serving` to stop, and then everything else is closed in order too."""
        yield


def bind(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one. What is in the way is a plain error."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        # What follows repeats the address.
        reason = (error.strerror or str(error)).partition(" (while")[0]
        raise click.ClickException(f"Cannot listen on {host}:{port}: {reason}.") from None


def address_of(listener: socket.socket) -> str:
    """The address of a listening socket as people type it; one that listens everywhere is reached on loopback."""
    host, port = listener.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


@contextlib.asynccontextmanager
async def serving(
    served: "Served", listener: socket.socket, settings: Settings, *, alone: bool = True
) -> AsyncIterator[Server]:
    """The application, answering while the block runs; on leaving, open calls get the drain time to end.

    At once, `served.leave` is called: who only listens is let go. When the time is over, `served.give_up` is called and
    what still runs is cancelled: it ends with an error and is settled. Unless it is `alone`, others take connections up
    from the same listener.
    """
    server = Server(_config(served.app, settings, served.door))

    def cut() -> None:
        served.give_up()
        for running in tuple(server.server_state.tasks):
            running.cancel()

    task = asyncio.create_task(server.serve(sockets=[listener]))
    task.add_done_callback(lambda _: server.answers.set())
    try:
        await server.answers.wait()
        server.listen_for_signals(alone=alone)
        if alone and tells_its_length(listener):
            served.door.watch_queue(AcceptQueue(listener, BACKLOG, server.make_connection))
        # Not collected before: what a start leaves in cycles is a few hundred objects, and looking for them took 50 ms.
        gc.freeze()
        yield server
    finally:
        server.should_exit = True
        served.leave()
        served.door.watch_queue(None)
        timer = asyncio.get_running_loop().call_later(settings.limits.drain_seconds_max, cut)
        await task
        timer.cancel()
        cut()
        await asyncio.gather(*server.server_state.tasks, return_exceptions=True)


def run_server(work: Any) -> None:
    """Runs asynchronous work on the fast event loop."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(work)


def _config(app: ASGIApp, settings: Settings, door: Door) -> uvicorn.Config:
    limits = settings.limits
    return uvicorn.Config(
        app,
        # Not to be guessed: the application is a plain function that gives a coroutine.
        interface="asgi3",
        http=bounded_connection(limits.headers_seconds_max, limits.write_seconds_max, door),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=list(settings.trusted_proxies),
        timeout_keep_alive=limits.idle_seconds_max,
        timeout_graceful_shutdown=limits.drain_seconds_max + _CUT_SECONDS,
        backlog=BACKLOG,
    )
