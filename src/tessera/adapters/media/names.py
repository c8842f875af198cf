"""What the names in strangers' addresses resolve to, looked up apart from every other name.

A name server may be silent for half a minute, and nothing can end a look-up that waits for it. The loop's own resolver
has four threads for everybody: a few dozen such names, each in an address of a call that is refused for free, would
keep providers, whose names wait behind them, from being reached for minutes, and a server from stopping.
"""

import asyncio
import socket
import threading
from typing import Any

from aiohttp.abc import AbstractResolver, ResolveResult

LOOKUPS_MAX = 128
"""How many names may be looked up at once, those among them that nobody waits for any more. Each has a thread."""

_NUMERIC = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV


class StrangersResolver(AbstractResolver):
    """Looks each name up in a thread of its own, which nobody waits for when the process ends."""

    def __init__(self) -> None:
        self._under_way = 0

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """The addresses of a name. Raises OSError."""
        if self._under_way >= LOOKUPS_MAX:
            raise OSError(f"{LOOKUPS_MAX} names are being looked up already")
        loop = asyncio.get_running_loop()
        answered: asyncio.Future[Any] = loop.create_future()

        def answer(found: Any, error: Exception | None) -> None:
            self._under_way -= 1
            if answered.done():
                return
            if error is None:
                answered.set_result(found)
            else:
                answered.set_exception(error)

        def look_up() -> None:
            found, error = None, None
            try:
                found = socket.getaddrinfo(host, port, family, socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
            except (OSError, ValueError) as why:
                error = why
            try:
                loop.call_soon_threadsafe(answer, found, error)
            except RuntimeError:
                return  # The loop has ended, and nobody waits.

        try:
            threading.Thread(target=look_up, name="tessera-name", daemon=True).start()
        except RuntimeError as error:
            raise OSError("the machine has no thread for a name") from error
        self._under_way += 1
        return [
            ResolveResult(
                hostname=host, host=str(address[0]), port=address[1], family=kind, proto=protocol, flags=_NUMERIC
            )
            for kind, _, protocol, _, address in await answered
        ]

    async def close(self) -> None:
        """Nothing is kept."""
