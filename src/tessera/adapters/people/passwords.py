"""Passwords by argon2id, a few at a time.

Parameters are the second recommended option of RFC 9106, 4: 64 MiB, 3 passes. Each hash therefore takes 64 MiB and tens
of milliseconds of a core, so that unbounded sign-ins would be an attack on memory: at most `AT_ONCE` run, and at most
`WAITING_MAX` wait.
"""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import argon2
from argon2.exceptions import InvalidHashError, VerificationError

from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.people.rules import normal_password

AT_ONCE = 2
WAITING_MAX = 64
MEMORY_KIB = 65_536
PASSES = 3
LANES = 1


class Argon2Passwords:
    """The port `Passwords`. Ended by `close`."""

    def __init__(self, *, memory_kib: int = MEMORY_KIB, at_once: int = AT_ONCE, waiting_max: int = WAITING_MAX) -> None:
        self._hasher = argon2.PasswordHasher(
            time_cost=PASSES, memory_cost=memory_kib, parallelism=LANES, hash_len=32, salt_len=16
        )
        self._threads = ThreadPoolExecutor(at_once, thread_name_prefix="tessera-passwords")
        self._taken_max = at_once + waiting_max
        self._taken = 0

    async def hash(self, password: str) -> str:
        """See the port."""
        return str(await self._run(self._hasher.hash, normal_password(password)))

    async def matches(self, password: str, password_hash: str | None) -> bool:
        """See the port."""
        right = await self._run(self._verify, password_hash, normal_password(password))
        return bool(right) and password_hash is not None

    def close(self) -> None:
        """Ends the threads."""
        self._threads.shutdown(wait=True, cancel_futures=True)

    def _verify(self, password_hash: str | None, password: str) -> bool:
        try:
            if password_hash is None:
                # There is no account: the same work, and never a match.
                self._hasher.hash(password)
                return False
            return self._hasher.verify(password_hash, password)
        except (VerificationError, InvalidHashError):
            return False

    async def _run(self, work: object, *arguments: str | None) -> object:
        assert callable(work)
        if self._taken >= self._taken_max:
            raise TesseraError(
                ErrorCode.OVERLOADED, "Too many people sign in at this moment. Try again shortly.", retry_after_s=2
            )
        self._taken += 1
        running = asyncio.get_running_loop().run_in_executor(self._threads, work, *arguments)
        running.add_done_callback(lambda _: self._give_back())
        # Shielded: a caller who leaves must not free a place that its hash still takes.
        return await asyncio.shield(running)

    def _give_back(self) -> None:
        self._taken -= 1
