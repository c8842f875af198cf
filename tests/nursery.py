"""`tessera` in processes that begin with everything loaded: forked off one that runs nothing itself.

Loading code, vocabularies and the catalogue is most of what a command or a server does to start, and the same each
time. Arguments, environment, folder, signals, output and exit code are those of `python -m tessera`, which the
documents' tests start as a reader does.
"""

import atexit
import contextlib
import functools
import gc
import importlib
import json
import os
import pkgutil
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

ORDER_BYTES_MAX = 1 << 20
_NUMBER_BYTES = 4
_STARTING = threading.Lock()


class Process:
    """A `tessera` process off the nursery; `pid`, `returncode`, `wait`, `poll` and signals are those of a Popen.

    `out` and `err` are open files for what it prints.
    """

    def __init__(self, arguments: tuple[str, ...], environment: Mapping[str, str], out: int, err: int) -> None:
        self.arguments = arguments
        self.returncode: int | None = None
        self.stdout: TextIO | None = None
        self._asking = threading.Lock()
        order = {"arguments": arguments, "environment": dict(environment), "folder": str(Path.cwd())}
        hears, says = os.pipe()
        self._told = os.fdopen(hears, "rb", buffering=0)
        with _STARTING:
            nursery = _nursery()
        try:
            socket.send_fds(nursery, [json.dumps(order).encode()], [out, err, says])
        finally:
            os.close(says)
        self.pid = self._next()

    def wait(self, timeout: float | None = None) -> int:
        """Its exit code, or minus the signal that ended it. Raises subprocess.TimeoutExpired."""
        with self._asking:
            if self.returncode is None:
                # Not select: a test may have more files open than it can count.
                news = select.poll()
                news.register(self._told, select.POLLIN)
                if not news.poll(None if timeout is None else timeout * 1000):
                    raise subprocess.TimeoutExpired(["tessera", *self.arguments], timeout or 0)
                self.returncode = self._next()
                self._told.close()
        return self.returncode

    def poll(self) -> int | None:
        """As `wait`, but None while it runs."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self.wait(0)
        return None

    def send_signal(self, number: int) -> None:
        """Sends a signal to it, if it runs."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """Ends it at once."""
        self.send_signal(signal.SIGKILL)

    def _next(self) -> int:
        said = self._told.read(_NUMBER_BYTES)
        assert len(said) == _NUMBER_BYTES, "the nursery has ended"
        return int.from_bytes(said, "little", signed=True)


def run(
    arguments: tuple[str, ...], environment: Mapping[str, str], seconds: float
) -> "subprocess.CompletedProcess[str]":
    """Runs a command and waits for it. Raises subprocess.TimeoutExpired, after which it runs no more."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        process = Process(arguments, environment, out.fileno(), err.fileno())
        try:
            code = process.wait(seconds)
        finally:
            process.kill()
        for file in (out, err):
            file.seek(0)
        return subprocess.CompletedProcess(["tessera", *arguments], code, out.read().decode(), err.read().decode())


@functools.cache
def _nursery() -> socket.socket:
    """The nursery of this test process, started when the first command is run. It ends when this process does."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    process = subprocess.Popen(
        [sys.executable, __file__, str(theirs.fileno())],
        pass_fds=[theirs.fileno()],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        env={name: value for name, value in os.environ.items() if not name.startswith("TESSERA_")},
    )
    theirs.close()

    def end() -> None:
        ours.close()
        process.wait()

    atexit.register(end)
    return ours


# ---- the nursery itself ------------------------------------------------------------------------------------------


def _raise_commands(orders: socket.socket) -> None:
    """Forks a process for each order, until there are no more. Returns in those processes, whose order it then is."""
    gc.freeze()
    # Whoever interrupts the tests from a keyboard means the tests.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while True:
        order, handles, _, _ = socket.recv_fds(orders, ORDER_BYTES_MAX, 3)
        if not order:
            raise SystemExit
        out, err, says = handles
        if os.fork() == 0:
            orders.close()
            _be_born(out, err, says)
            _grow(json.loads(order))
            return
        for handle in handles:
            os.close(handle)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass


def _be_born(out: int, err: int, says: int) -> None:
    """Forks once more and returns in the child; the parent says who that is and, at its end, how it ended."""
    child = os.fork()
    if child:
        os.close(out)
        os.close(err)
        os.write(says, child.to_bytes(_NUMBER_BYTES, "little", signed=True))
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        os.write(says, code.to_bytes(_NUMBER_BYTES, "little", signed=True))
        os._exit(0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for place, handle in enumerate((nothing, out, err)):
        os.dup2(handle, place)
        os.close(handle)
    os.close(says)


def _grow(order: dict[str, Any]) -> None:
    """Takes on what a process is given when it starts."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(order["folder"])
    os.environ.clear()
    os.environ.update(order["environment"])
    time.tzset()
    sys.path[0] = order["folder"]
    sys.argv = ["tessera", *order["arguments"]]


def _import_everything() -> None:
    """What commands and servers import and read of the package before they begin, as `serve --workers` does before it
    forks; none of it starts a thread or opens a file that stays open."""
    import tessera.bootstrap.money
    import tessera.bootstrap.people
    import tessera.cli
    import tessera.http
    from tessera.bootstrap import load_server
    from tessera.catalog.catalogue import load_catalogue
    from tessera.settings import Settings

    for package in (tessera.cli, tessera.http):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            importlib.import_module(module.name)
    load_server(Settings())
    load_catalogue()
    assert threading.active_count() == 1


if __name__ == "__main__":
    _import_everything()
    _raise_commands(socket.socket(fileno=int(sys.argv[1])))
    runpy.run_module("tessera", run_name="__main__", alter_sys=True)
