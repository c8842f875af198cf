"""A plain TCP proxy that can cut, refuse and swallow, for tests of connections that fail."""

import contextlib
import select
import selectors
import socket
import threading
from collections.abc import Callable, Iterator


class TcpProxy:
    """Passes bytes between its own port and a target, until told otherwise.

    `refusing` turns new connections away; `watch` sees every piece a client sends before it is passed on, and says
    whether its answer may come back: if not, the piece is passed on and the connection is cut.
    """

    def __init__(self, targets: list[tuple[str, int]]) -> None:
        self._targets = targets
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.refusing = False
        self.watch: Callable[[bytes], bool] = lambda _: True
        self.cuts = 0
        self._pairs: set[tuple[socket.socket, socket.socket]] = set()
        self._lock = threading.Lock()
        self._next = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Ends every connection at once."""
        with self._lock:
            pairs, self._pairs = self._pairs, set()
        for pair in pairs:
            self._end(pair)

    def close(self) -> None:
        """Stops for good."""
        self.refusing = True
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            target = None if self.refusing else self._connect()
            if target is None:
                client.close()
                continue
            pair = (client, target)
            with self._lock:
                self._pairs.add(pair)
            threading.Thread(target=self._pass, args=pair, daemon=True).start()

    def _connect(self) -> socket.socket | None:
        """One target after the other; one that is gone is passed over."""
        for _ in self._targets:
            self._next = (self._next + 1) % len(self._targets)
            with contextlib.suppress(OSError):
                return socket.create_connection(self._targets[self._next], timeout=5)
        return None

    def _pass(self, client: socket.socket, target: socket.socket) -> None:
        target.settimeout(None)
        with selectors.DefaultSelector() as selector:
            selector.register(client, selectors.EVENT_READ, target)
            selector.register(target, selectors.EVENT_READ, client)
            with contextlib.suppress(OSError, ValueError):
                while True:
                    for key, _ in selector.select():
                        source, sink = key.fileobj, key.data
                        assert isinstance(source, socket.socket)
                        piece = source.recv(65536)
                        if not piece:
                            raise OSError
                        answered = source is target or self.watch(piece)
                        sink.sendall(piece)
                        if not answered:
                            self.cuts += 1
                            _wait_for_answer(source, target)
                            raise OSError
        with self._lock:
            self._pairs.discard((client, target))
        self._end((client, target))

    def _end(self, pair: tuple[socket.socket, socket.socket]) -> None:
        for end in pair:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()


def _wait_for_answer(client: socket.socket, target: socket.socket) -> None:
    """Waits until the server has done what was asked, which may arrive in several pieces; its answer is lost."""
    while target not in select.select([client, target], [], [])[0]:
        piece = client.recv(65536)
        if not piece:
            return
        target.sendall(piece)


@contextlib.contextmanager
def tcp_proxy(*targets: tuple[str, int]) -> Iterator[TcpProxy]:
    """A proxy before one or more targets, which take turns."""
    proxy = TcpProxy(list(targets))
    try:
        yield proxy
    finally:
        proxy.close()
