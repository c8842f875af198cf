"""Turns: of each name one at a time, in the order in which they asked; other names do not wait for it."""

from asyncio import Lock


class Turns:
    """Who has a turn, by name. A name that nobody waits for is forgotten."""

    def __init__(self) -> None:
        self._locks: dict[str, Lock] = {}
        self._wanted: dict[str, int] = {}

    async def take(self, name: str) -> None:
        """Waits for a turn, which `end` gives back."""
        lock = self._locks.setdefault(name, Lock())
        self._wanted[name] = self._wanted.get(name, 0) + 1
        try:
            await lock.acquire()
        except BaseException:
            self._leave(name)
            raise

    def end(self, name: str) -> None:
        """Ends a turn that was taken."""
        self._locks[name].release()
        self._leave(name)

    def _leave(self, name: str) -> None:
        self._wanted[name] -= 1
        if not self._wanted[name]:
            del self._wanted[name], self._locks[name]
