"""How many requests the processor can take: more are let in only while the event loop keeps up, dealt out fairly.

The measure is how late the loop comes to what is due, the time for which everything waits for its turn. A burst may
make it late; a standing lateness says that more comes in than can be done. From then on each look at the clock lets in
what the rate gives, less the later the loop is, and next to nothing when it is twice as late as is aimed at. The rate
grows while the loop keeps up and shrinks towards what is done while it does not, so that the queue stays short and
never runs empty. Knows no clock, no socket and no task.
"""

from collections.abc import Hashable, Iterable

LATE_SECONDS_MAX = 0.05
"""The lateness that is aimed at: enough waits for the processor never to idle, and no call waits long."""
STANDING_SECONDS = 1.0
"""How long the loop must have been late at every look before anything is refused: it takes bursts for what they are."""
QUIET_SECONDS = 2.0
"""How long nothing must have been refused before everything is let in again."""
CALLS_MIN = 32
"""With fewer requests in hand new ones are let in however late the loop is: there is no queue to keep short."""
PART_MIN = 0.1
"""The part of the rate that is let in however late the loop is, so that a flood does not shut everybody else out."""
GROWTH_PER_SECOND = 5.0
SHRINKAGE_PER_SECOND = 1.0
OWNERS_MAX = 1000
"""So many owners are told apart at a time; the rest share as if they were one."""
_MEAN_SECONDS = 1.0
_RATE_MIN = 1.0
_OVERDRAFT = 0.5
"""The part of what is let in that may be taken beyond it, out of what comes next, by owners who have asked for little:
however much a flood took before they came."""


class Admission:
    """Lets requests in by `admit`, to the numbers that `look` sets. `limiting` says whether any may be refused now, and
    `rate` how many a second are then let in at most."""

    def __init__(self) -> None:
        self.limiting = False
        self.rate = 0.0
        self._done_rate = 0.0
        self._late_seconds = 0.0
        self._late_done = 0
        self._quiet_seconds = 0.0
        self._refused = False
        self._asked: dict[Hashable, int] = {}
        self._credit: dict[Hashable, float] = {}
        self._share = self._left = self._left_min = self._small = 0.0

    def admit(self, owner: Hashable) -> bool:
        """Whether a request of this owner is let in now."""
        if not self.limiting:
            return True
        asked = self._asked.get(owner)
        if asked is None:
            if len(self._asked) >= OWNERS_MAX:
                owner = None
            asked = self._asked.get(owner, 0)
        self._asked[owner] = asked + 1
        credit = self._credit.get(owner, self._share)
        if credit < 1 or self._left < (self._left_min if asked < self._small else 1.0):
            self._refused = True
            return False
        self._credit[owner] = credit - 1
        self._left -= 1
        return True

    def look(self, elapsed_s: float, late_s: float, calls: int, done: int, *, crowded: bool) -> None:
        """Tells what the clock shows: the seconds since the last look, how late this one came, the requests in hand,
        how many have ended since the last look, and whether those in hand are too many to wait and see."""
        late = late_s > LATE_SECONDS_MAX
        weight = min(elapsed_s / _MEAN_SECONDS, 1.0)
        self._done_rate += weight * (done / elapsed_s - self._done_rate)
        self._late_seconds = self._late_seconds + elapsed_s if late else 0.0
        self._late_done = self._late_done + done if late else 0
        if self.limiting:
            self._follow(min(elapsed_s, 0.2), late_s)
        elif late and (crowded or self._late_seconds >= STANDING_SECONDS):
            self.limiting = True
            self._done_rate = self._late_done / self._late_seconds
            self.rate = max(self._done_rate, calls, _RATE_MIN)
            self._quiet_seconds = self._left = 0.0
            self._asked, self._credit = {}, {}
        if self.limiting:
            part = min(max(2 - late_s / LATE_SECONDS_MAX, PART_MIN), 1.0)
            self._deal(max(self.rate * elapsed_s * part, CALLS_MIN - calls))

    def _follow(self, elapsed_s: float, late_s: float) -> None:
        """Moves the rate towards what the processor can do; ends limiting when it has not refused for a while."""
        if LATE_SECONDS_MAX < late_s < 2 * LATE_SECONDS_MAX:
            lower = self.rate * (1 - SHRINKAGE_PER_SECOND * elapsed_s)
            self.rate = max(lower, min(self.rate, self._done_rate), _RATE_MIN)
        elif self._refused and late_s <= LATE_SECONDS_MAX:
            self.rate *= 1 + GROWTH_PER_SECOND * elapsed_s * (1 - late_s / LATE_SECONDS_MAX)
        self._quiet_seconds = 0.0 if self._refused else self._quiet_seconds + elapsed_s
        self._refused = False
        self.limiting = self._quiet_seconds < QUIET_SECONDS

    def _deal(self, more: float) -> None:
        """Lets so many requests in until the next look: to each owner an equal share, what some do not ask for to the
        others. Parts of a request are carried over, and so is what was taken beyond."""
        self._left = min(self._left, 1.0) + more
        self._left_min = 1.0 - _OVERDRAFT * more
        self._small = more / (len(self._asked) + 1)
        share = equal_share(self._asked.values(), more)
        self._share = max(share, 1.0)
        self._credit = {owner: min(self._credit.get(owner, 0.0), 1.0) + share for owner in self._asked}
        self._asked = {}


def equal_share(asked: Iterable[int], given: float) -> float:
    """What each may take at most, so that all together take what is given; infinite if they ask for no more."""
    left = given
    waiting = sorted(asked)
    for place, one in enumerate(waiting):
        share = left / (len(waiting) - place)
        if one > share:
            return share
        left -= one
    return float("inf")
