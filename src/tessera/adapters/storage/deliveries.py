"""The outbox: notices to their receivers, and letters of their own, each taken for one try by one process at a time."""

from collections.abc import Collection
from typing import Any

import msgspec

from tessera.adapters.storage.people.steps import Rows, Steps, Store, change, first, read, rows
from tessera.domain.deliveries import (
    AT_ONCE_OF_ORGANIZATION_MAX,
    LEASE_S,
    Delivery,
    DeliveryKind,
    DeliveryState,
    Errand,
    Notice,
    WaitingLetter,
    Webhook,
)

DELIVERY = "id, kind, target, state, tries, next_at, error, ended_at"
WEBHOOK = "id, organization_id, url, nonce, created_at"

_FIND_WEBHOOK = f"SELECT {WEBHOOK} FROM webhook WHERE id = $1"  # noqa: S608
# The first of every organization before the second of any: many that have much to deliver hold up none that has little.
_DUE = f"""
SELECT {DELIVERY}, notice_id, letter FROM (
    SELECT delivery.*, row_number() OVER (
        PARTITION BY coalesce(organization_id, delivery.id) ORDER BY next_at, delivery.id
    ) AS place
    FROM delivery LEFT JOIN notice ON notice.id = notice_id
    WHERE state = 'waiting' AND next_at <= $1 AND coalesce(organization_id, '') NOT IN ({{busy}})
) AS due
WHERE place <= $3 ORDER BY place, next_at, id LIMIT $2
"""  # noqa: S608
_TAKE = """
UPDATE delivery SET next_at = $3, tries = tries + 1 WHERE id = $1 AND next_at = $2 AND state = 'waiting' RETURNING id
"""
_FIND_NOTICE = "SELECT id, organization_id, created_at, data FROM notice WHERE id = $1"
_END = """
UPDATE delivery SET state = $3, error = $4, next_at = $5, ended_at = $6
WHERE id = $1 AND tries = $2 AND state = 'waiting'
"""
_FORGET = "DELETE FROM delivery WHERE id = $1 AND tries = $2"
_KEEP_LETTER = """
INSERT INTO delivery (id, kind, target, letter, tries, next_at) VALUES ($1, $2, $3, $4, $5, $6)
"""


def keep_letter(errand: Errand | None) -> Steps[None]:
    """Writes a letter, taken already by who writes it, in the commit that makes it necessary."""
    if errand is not None:
        one = errand.delivery
        letter = msgspec.json.encode(errand.letter).decode()
        yield from rows(_KEEP_LETTER, one.id, one.kind.value, one.target, letter, one.tries, one.next_at)


class Deliveries(Store):
    """What waits to be delivered."""

    async def take_errands(self, now: int, limit: int, busy: Collection[str] = ()) -> tuple[Errand, ...]:
        """See the port. Nothing is written unless something is due."""
        if limit <= 0 or not await self._has_due(now, busy):
            return ()
        return await self._take_errands(now, limit, busy)

    @change
    def end_errand(
        self, errand: Errand, state: DeliveryState, *, error: str | None, next_at: int, now: int
    ) -> Steps[None]:
        """See the port. A try that was taken over meanwhile has nothing to say any more; nothing is kept of a
        letter that is over."""
        if errand.letter is not None and state is not DeliveryState.WAITING:
            yield from rows(_FORGET, errand.delivery.id, errand.delivery.tries)
            return
        ended_at = None if state is DeliveryState.WAITING else now
        yield from rows(_END, errand.delivery.id, errand.delivery.tries, state.value, error, next_at, ended_at)

    # ---- inside ---------------------------------------------------------------------------------------------------

    @read
    def _has_due(self, now: int, busy: Collection[str]) -> Steps[bool]:
        return bool((yield from _due(now, 1, busy)))

    @change
    def _take_errands(self, now: int, limit: int, busy: Collection[str]) -> Steps[tuple[Errand, ...]]:
        taken = []
        for row in (yield from _due(now, limit, busy)):
            due = delivery_of(row)
            if (yield from first(_TAKE, due.id, due.next_at, now + LEASE_S)) is None:
                continue
            notice = None if row[8] is None else (yield from first(_FIND_NOTICE, row[8]))
            webhook = None
            if due.kind is DeliveryKind.WEBHOOK:
                webhook = yield from first(_FIND_WEBHOOK, due.target)
            taken.append(
                Errand(
                    delivery=msgspec.structs.replace(due, tries=due.tries + 1, next_at=now + LEASE_S),
                    notice=None if notice is None else notice_of(notice),
                    webhook=None if webhook is None else webhook_of(webhook),
                    letter=None if row[9] is None else msgspec.json.decode(row[9], type=WaitingLetter),
                )
            )
        return tuple(taken)


def _due(now: int, limit: int, busy: Collection[str]) -> Steps[Rows]:
    # No organization has an empty id: letters of their own are nobody's, and never busy.
    named = ", ".join(f"${place}" for place in range(4, 4 + len(busy))) or "'-'"
    return (yield from rows(_DUE.format(busy=named), now, limit, AT_ONCE_OF_ORGANIZATION_MAX, *busy))


def webhook_of(row: tuple[Any, ...]) -> Webhook:
    """A row of `WEBHOOK`."""
    return Webhook(id=row[0], organization_id=row[1], url=row[2], nonce=row[3], created_at=row[4])


def delivery_of(row: tuple[Any, ...]) -> Delivery:
    """A row that begins with `DELIVERY`."""
    return Delivery(
        id=row[0],
        kind=DeliveryKind(row[1]),
        target=row[2],
        state=DeliveryState(row[3]),
        tries=row[4],
        next_at=row[5],
        error=row[6],
        ended_at=row[7],
    )


def notice_of(row: tuple[Any, ...], deliveries: tuple[Delivery, ...] = ()) -> Notice:
    """A row of a notice: id, organization, time, data."""
    data = msgspec.json.decode(row[3])
    return Notice(id=row[0], organization_id=row[1], created_at=row[2], data=data, deliveries=deliveries)
