"""Calls over the end of a month: a quote, its hold and its charge are of one day, one volume and one price."""

import itertools
import json
from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from ledger_calls import hold_order, usage_event
from priced_world import body, caller, priced_world
from simulation.loop import VirtualTime
from simulation.process import SimClock
from tessera.adapters.providers.sandbox import SandboxProvider
from tessera.adapters.storage.sqlite import SqliteStorage
from tessera.catalog.catalogue import load_catalogue
from tessera.catalog.models import ConfiguredModel
from tessera.domain.auth import Caller
from tessera.domain.money import Mode
from tessera.domain.pricing import OperatorRow, Rates
from tessera.domain.request import ImagePart, Surface
from tessera.flows.inference import Call, Served, infer
from tessera.flows.quotes import make_quote
from tessera.flows.serving import WholeReply
from tessera.flows.terms import Terms
from tessera.flows.world import World
from tessera.ports import ProbedImage, UpstreamCall, UpstreamReply

pytestmark = pytest.mark.anyio

DECEMBER = date(2026, 12, 1)
BEFORE_US = int(datetime(2026, 12, 1, tzinfo=UTC).timestamp()) * 1_000_000 - 2_000_000
OVER_S = 4.0
"""Long enough for the month to end."""

OWN = ConfiguredModel(id="own", like="gpt-4o", context_max=9000, output_max=200, output_default=100)
RATE = 1_000_000_000


class Month:
    """A gateway with one model, whose price is another from December on, in the last seconds of November.

    Images and answers take as long as `image_s` and `answer_s` say.
    """

    def __init__(self, storage: SqliteStorage, caller: Caller, rows: Sequence[OperatorRow]) -> None:
        self.time = VirtualTime(BEFORE_US)
        self.image_s = self.answer_s = 0.0
        self.caller = caller
        self.storage = storage
        numbers = itertools.count()
        catalogue = load_catalogue([OWN])
        sandbox = SandboxProvider(self.describe, len)
        month = self

        class Slow:
            async def send(self, call: UpstreamCall) -> UpstreamReply:
                month.time.now += month.answer_s
                return await sandbox.send(call)

        self.world: World = priced_world(
            storage=storage,
            media=cast(Any, self),
            providers={"sandbox": Slow()},
            catalogue=catalogue,
            prices=catalogue.price_book([OperatorRow(model="own", rates=Rates(input=RATE, output=RATE)), *rows]),
            deployments={},
            clock=SimClock(self.time),
            owner=storage.owner,
            make_id=lambda prefix: f"{prefix}_{next(numbers):026}",
        )

    async def describe(self, _images: Sequence[bytes], _question: str) -> str:
        return "four colours"

    async def probe(self, images: Sequence[ImagePart], take: object = None) -> tuple[ProbedImage, ...]:
        self.time.now += self.image_s
        image = ProbedImage(
            index=0, source="data", format="png", width=64, height=64, orientation=1, size_bytes=67, content=b"png"
        )
        return (image,) * len(images)

    async def quote(self) -> dict[str, Any]:
        raw = json.dumps({"url": "/v1/chat/completions", "body": json.loads(BODY)}).encode()
        found: dict[str, Any] = json.loads(await make_quote(self.world, self.caller, raw))
        return found

    async def call(self, quote_id: str | None = None) -> tuple[Served, int, list[str]]:
        """The call, what it was charged, and the price of its tokens."""
        request_id = self.world.make_id("req")
        terms = Terms(quote_id=quote_id)
        call = Call(Surface.CHAT, "/v1/chat/completions", BODY, terms, {})
        served = await infer(self.world, self.caller, call, request_id)
        assert isinstance(served.reply, WholeReply)
        record = await self.storage.find_request(self.caller.organization_id, self.caller.mode, request_id)
        assert record is not None
        assert record.event is not None
        charge = msgspec.json.decode(record.event.charge)
        assert charge["nanos"] == record.event.charge_nanos == served.reply.charge_nanos <= record.held_nanos
        return served, charge["nanos"], sorted({line["price_per_million"] for line in charge["lines"]})

    async def charge(self, nanos: int) -> None:
        """Another call of the organization's, just now."""
        mine = self.caller
        order = hold_order(
            mine.organization_id, nanos, mode=mine.mode, owner=self.storage.owner, placed_at_us=self.time.wall_us()
        )
        await self.storage.hold(order)
        await self.storage.settle(usage_event(order, nanos, settled_at_us=self.time.wall_us()))


BODY = body(
    "own",
    messages=[
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}]},
    ],
)


def by_december(rate: int) -> OperatorRow:
    return OperatorRow(model="own", rates=Rates(input=rate, output=rate), valid_from=DECEMBER)


async def month_of_prices(folder: Path, *rows: OperatorRow) -> Month:
    storage = await SqliteStorage.open(folder)
    organization = await storage.create_organization("acme")
    return Month(storage, caller(Mode.TEST, organization_id=organization.id), rows)


@pytest.mark.parametrize("rate", [2 * RATE, RATE // 2])
async def test_a_quote_whose_images_took_until_the_next_day_binds_at_the_prices_it_says(
    tmp_path: Path, rate: int
) -> None:
    month = await month_of_prices(tmp_path, by_december(rate))
    month.image_s = OVER_S
    quote = await month.quote()
    assert month.time.wall_us() > BEFORE_US + 2_000_000
    served, charged, prices = await month.call(quote["id"])
    assert served.price_max_nanos == quote["price"]["max_nanos"] >= charged > 0
    assert prices == ["1"]
    _, _, later = await month.call()
    assert later == [{2 * RATE: "2", RATE // 2: "0.5"}[rate]]
    await month.storage.close()


@pytest.mark.parametrize("image_s", [0.0, OVER_S])
@pytest.mark.parametrize("rate", [2 * RATE, RATE // 2])
async def test_a_call_is_charged_at_the_price_of_the_day_it_came_in_however_long_it_takes(
    tmp_path: Path, rate: int, image_s: float
) -> None:
    month = await month_of_prices(tmp_path, by_december(rate))
    month.image_s, month.answer_s = image_s, OVER_S
    served, charged, prices = await month.call()
    assert month.time.wall_us() > BEFORE_US + 2_000_000
    assert served.price_max_nanos >= charged > 0
    assert prices == ["1"]
    await month.storage.close()


@pytest.mark.parametrize("discount", [5000, -5000])
async def test_a_quote_of_the_old_month_binds_at_its_volume_and_the_new_month_begins_with_none(
    tmp_path: Path, discount: int
) -> None:
    by_volume = OperatorRow(
        model="own", rates=Rates(input=RATE - RATE * discount // 10_000, output=RATE), volume_from_nanos=1000
    )
    month = await month_of_prices(tmp_path, by_volume)
    await month.charge(1000)
    quote = await month.quote()
    assert quote["price"]["volume_nanos"] == 1000
    month.time.now += OVER_S
    await month.charge(999)
    month.time.now += 6
    served, charged, prices = await month.call(quote["id"])
    assert served.price_max_nanos == quote["price"]["max_nanos"] >= charged
    assert len(prices) == 2
    of_december = await month.quote()
    assert of_december["price"]["volume_nanos"] == 999 + charged
    month.time.now += 6
    await month.charge(1000)
    month.time.now += 6
    assert (await month.quote())["price"]["volume_nanos"] == 1999 + charged
    await month.storage.close()
