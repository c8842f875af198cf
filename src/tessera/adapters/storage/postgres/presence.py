"""Which processes on other machines are alive: those whose sign of life in the database goes on changing.

Time is measured by the one who watches, never compared between machines: a clock that jumps ends nobody's lease, and an
outage of the database, during which nobody can show life, does not count.
"""

import time
from collections.abc import Callable
from typing import Any

LEASE_S = 60.0
"""How long a process that shows no life is believed alive."""

CONTACT_GAP_S = 30.0
"""A watcher that did not look for this long begins anew: it may itself have been cut off."""

_SIGNS = """
SELECT (SELECT heartbeat_at_us FROM process WHERE owner = ?1),
    (SELECT max(number) FROM hold WHERE owner = ?1 AND state = 'open')
"""


class Presence:
    """What one process saw of the others. Asked at every sweep."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic, lease_s: float = LEASE_S) -> None:
        self._monotonic = monotonic
        self._lease_s = lease_s
        self._seen: dict[str, tuple[Any, float, float]] = {}

    def is_gone(self, connection: Any, owner: str) -> bool:
        """Whether a process has shown no new sign of life for its whole lease. Raises psycopg.Error."""
        signs = connection.execute(_SIGNS, (owner,)).fetchone()
        now = self._monotonic()
        known, since, looked = self._seen.get(owner, (None, now, now))
        if known != signs or now - looked > CONTACT_GAP_S:
            since = now
        self._seen[owner] = (signs, since, now)
        gone = now - since > self._lease_s
        if gone:
            del self._seen[owner]
        return gone
