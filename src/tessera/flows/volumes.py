"""What an organization was charged in a month so far: its volume, on which the operator's prices may depend.

Always holds: a volume is known at most `VOLUME_SECONDS` late, and each call is quoted, held and charged at one volume.
"""

import asyncio
from dataclasses import dataclass, field
from datetime import date

import msgspec

from tessera.domain.auth import Caller
from tessera.domain.ledger.limits import month_number
from tessera.domain.money import Mode
from tessera.domain.pricing.book import PriceBook
from tessera.ports import SavedQuote
from tessera.ports.usage import UsageRecords

VOLUME_SECONDS = 5
"""How long a volume is taken as it was read; also how far replicas may be apart."""

VOLUMES_KEPT_MAX = 50_000

_Place = tuple[str, Mode, int]
"""An organization, a mode, a month."""


@dataclass(slots=True)
class Volumes:
    """Volumes read lately, with the monotonic time in milliseconds before they were read, and readings under way."""

    known: dict[_Place, tuple[int, int]] = field(default_factory=dict)
    readings: dict[_Place, asyncio.Task[int]] = field(default_factory=dict)

    async def read(self, records: UsageRecords, place: _Place, now_ms: int) -> int:
        """A volume that was current at most `VOLUME_SECONDS` ago; however many ask at once, one reads.

        Raises [storage_unavailable].
        """
        found = self.known.get(place)
        if found is not None and now_ms - found[1] < VOLUME_SECONDS * 1000:
            return found[0]
        reading = self.readings.get(place)
        if reading is None:
            reading = asyncio.get_running_loop().create_task(self._read(records, place, now_ms))
            self.readings[place] = reading
            reading.add_done_callback(lambda task: self._read_ended(place, task))
        # Whoever leaves meanwhile does not take the reading from the others.
        return await asyncio.shield(reading)

    def _read_ended(self, place: _Place, task: asyncio.Task[int]) -> None:
        self.readings.pop(place, None)
        # Whoever waited has heard of a failure; when all have left, nobody needs to.
        if not task.cancelled():
            task.exception()

    async def _read(self, records: UsageRecords, place: _Place, now_ms: int) -> int:
        volume = await records.read_volume(*place)
        if len(self.known) >= VOLUMES_KEPT_MAX:
            self.known.clear()
        self.known[place] = volume, now_ms
        return volume


async def read_volume(
    volumes: Volumes, records: UsageRecords, book: PriceBook, caller: Caller, as_of: date, now_ms: int
) -> int | None:
    """The volume that a call made on a day is priced at, in nano-dollars charged in its mode in that month; None where
    no price of the caller depends on it. Raises [storage_unavailable]."""
    if not book.is_by_volume(caller.organization_names):
        return None
    return await volumes.read(records, (caller.organization_id, caller.mode, month_number(as_of)), now_ms)


class _Price(msgspec.Struct, frozen=True):
    volume_nanos: int | None = None


class _Quoted(msgspec.Struct, frozen=True):
    price: _Price


_decode_quoted = msgspec.json.Decoder(_Quoted).decode


def quoted_volume(quote: SavedQuote) -> int | None:
    """The volume a quote says it was priced at: a call under it is priced at the same, whatever came between."""
    return _decode_quoted(quote.body).price.volume_nanos
