"""The writer's view of PostgreSQL inside one transaction: what is cached is used only under the wallet's lock.

Always holds: wallets are locked in the order of their ids, so that no two replicas wait for each other; what is decided
on is read in a statement after the lock was got, so that it is as the last holder of the lock left it. A replica that
was alone for a while decides on what it remembers instead, and the statement that writes and commits compares it.
"""

from collections.abc import Iterable
from typing import Any

from tessera.adapters.storage.ledger.books import Book, Books
from tessera.domain.money import Mode

_NUMBERS_A_RUN = 1000

_FIND_IDS = "SELECT id FROM wallet WHERE organization_id = ? AND mode = ?"

_NEXT_RUN = "SELECT nextval('hold_number_seq')"

Key = tuple[str, str]


class PostgresBooks(Books):
    """Books of wallets that other replicas write too.

    A book that was cached stands for as long as its chain has not grown and its organization's row is the same:
    everything else of it changes only with them.
    """

    def __init__(self, checkpoint_key: bytes, undisturbed_min: int) -> None:
        super().__init__(checkpoint_key)
        self._undisturbed_min = undisturbed_min
        self._locked: set[Key] = set()
        self._states: dict[Key, list[Any]] = {}
        self._ids: dict[Key, int] = {}
        self._run = iter(range(0))
        self._undisturbed = 0

    @property
    def alone(self) -> bool:
        """Whether no other replica has lately changed a wallet that this one uses: then it locks none beforehand."""
        return self._undisturbed >= self._undisturbed_min

    def disturbed(self) -> None:
        """Another replica was there: wallets are locked beforehand for a while."""
        self._undisturbed = 0

    def refresh(self, connection: Any) -> bool:
        """A transaction begins: nothing is locked. Callers' caches follow the database's revision, not this."""
        self._locked.clear()
        self._touched.clear()
        return False

    def clear(self) -> None:
        """Forgets everything, after a rollback."""
        super().clear()
        self._locked.clear()
        self._states.clear()
        # A server that crashed forgets a run that was taken in the transaction, and gives it to another replica.
        self._run = iter(range(0))

    def lock(self, connection: Any, wallets: Iterable[Key]) -> None:
        """Locks wallets for the rest of the transaction and drops what another replica has changed since."""
        keys = {self._id(connection, *key): key for key in wallets if key not in self._locked}
        keys.pop(None, None)
        if not keys:
            return
        if self.alone and self._sees(connection, keys):
            self._locked.update(keys.values())
            return
        self._undisturbed += 1
        for wallet_id, *state in connection.lock(sorted(number for number in keys if number is not None)):
            key = keys[wallet_id]
            known = self._states.get(key)
            if known != state:
                self._books.pop(key, None)
                self._states[key] = state
                if known is not None:
                    self.disturbed()
        self._locked.update(keys.values())

    def _sees(self, connection: Any, keys: "dict[int | None, Key]") -> bool:
        """Whether wallets can do without a lock: all are known, and nothing has been asked in this transaction."""
        if not all(key in self._books and key in self._states for key in keys.values()):
            return False
        return bool(connection.see({number: self._states[key] for number, key in keys.items()}))

    def _id(self, connection: Any, organization_id: str, mode: str) -> int | None:
        """A wallet's number, which never changes; None if there is no such wallet."""
        found = self._ids.get((organization_id, mode))
        if found is None:
            row = connection.execute(_FIND_IDS, (organization_id, mode)).fetchone()
            if row is None:
                return None
            found = self._ids[organization_id, mode] = int(row[0])
        return found

    def book(self, connection: Any, organization_id: str, mode: Mode) -> Book:
        """See `Books.book`; a wallet that is not locked yet is locked."""
        if (organization_id, mode) not in self._locked:
            self.lock(connection, [(organization_id, mode.value)])
        return super().book(connection, organization_id, mode)

    def write(self, connection: Any) -> None:
        """See `Books.write`. Wallets that are not locked yet are locked by being written, in the order of their ids."""
        self._touched = dict(sorted(self._touched.items()))
        touched = list(self._touched.values())
        super().write(connection)
        for book in touched:
            key = (book.organization_id, book.mode)
            state = self._states.get(key)
            if state is not None:
                self._states[key] = [book.chain_seq, state[1]]

    def next_number(self, connection: Any) -> int:
        """The number of the next hold, out of a run that is this replica's own."""
        number = next(self._run, None)
        if number is None:
            first: int = connection.execute(_NEXT_RUN).fetchone()[0]
            self._run = iter(range(first, first + _NUMBERS_A_RUN))
            number = next(self._run)
        return number
