"""What a call that has ended is charged, costs and loses: the decision alone, with nothing written."""

import json
import threading
import types
from datetime import date
from typing import Any, cast

import msgspec
import pytest

from ledger_calls import hold_order
from priced_world import body, caller, priced_world
from simulation.process import DEPLOYMENTS
from tessera.adapters.tokenizers import counter_for
from tessera.domain.dialects.usage import ReplyFacts
from tessera.domain.ledger.orders import Outcome
from tessera.domain.money import Mode
from tessera.domain.pricing import Rates
from tessera.domain.pricing.book import OperatorRow
from tessera.domain.quantities import Quantities
from tessera.domain.request import Surface, Tier
from tessera.domain.usage import Attempt, UsageEvent, UsageSource
from tessera.flows.quoting import estimate
from tessera.flows.settling import Running, price_up
from tessera.ports import ProbedImage

pytestmark = pytest.mark.anyio

DAY = date(2026, 11, 19)
FIRST, SECOND = DEPLOYMENTS["gpt-4o"]
TEXT = "one two three"
USED = Quantities(input_tokens=1000, cached_input_tokens=200, output_tokens=100)


async def probe(*_: object) -> tuple[ProbedImage, ...]:
    return (
        ProbedImage(
            index=0, source="url", format="png", width=512, height=512, orientation=1, size_bytes=9, content=b""
        ),
    )


async def running(
    *,
    operator: bool = True,
    mode: Mode = Mode.LIVE,
    granted: int = 10**9,
    model: str = "gpt-4o",
    by_volume: tuple[OperatorRow, ...] = (),
    volume_nanos: int | None = None,
    **fields: Any,
) -> Running:
    """A call of gpt-4o that both deployments may serve: the second has its own price, 3.10 and 14.30 per million."""
    world, who = priced_world(operator), caller(mode)
    if by_volume:
        world.prices = world.catalogue.price_book(by_volume)
    found = await estimate(world, who, Surface.CHAT, body(model, **fields), DAY, volume_nanos=volume_nanos)
    call = Running(world, who, found, hold_order("org_1", granted, mode=mode), granted, started_ms=-7)
    call.deployment, call.accepted = FIRST, True
    return call


def rates(event: UsageEvent) -> dict[str, str]:
    return {line["unit"]: line["price_per_million"] for line in json.loads(event.charge)["lines"]}


def facts(**changes: Any) -> ReplyFacts:
    known = {"usage": USED, "finish_reason": "stop", "output_text": TEXT, "output_chars": 13, "has_output": True}
    return ReplyFacts(**(known | changes))


async def test_the_deployment_that_served_decides_the_price() -> None:
    call = await running()
    assert rates(await price_up(call, Outcome.COMPLETED, facts())) == {
        "input": "1.75",
        "cached_input": "0.875",
        "output": "7",
    }
    call.deployment = SECOND
    event = await price_up(call, Outcome.COMPLETED, facts())
    assert rates(event) == {"input": "3.1", "cached_input": "3.1", "output": "14.3"}
    assert event.charge_nanos == 1000 * 3_100 + 100 * 14_300
    assert event.deployment == "second/gpt-4o"


async def test_the_operator_pays_the_cost_row_of_the_provider_that_served() -> None:
    call = await running()
    call.deployment = SECOND
    event = await price_up(call, Outcome.COMPLETED, facts())
    assert (event.cost_nanos, event.loss_nanos) == (1000 * 1_100 + 100 * 4_300, 0)
    call.deployment = FIRST
    event = await price_up(call, Outcome.COMPLETED, facts())
    assert event.cost_nanos == 800 * 2_500 + 200 * 1_250 + 100 * 10_000, "the list, where there is no row"


async def test_a_call_is_charged_at_the_volume_it_was_quoted_at_whichever_tier_served_it() -> None:
    tiers = (Tier.DEFAULT, Tier.PRIORITY)
    by_volume = tuple(OperatorRow(tier=tier, discount_basis_points=5_000, volume_from_nanos=7) for tier in tiers)
    below, reached = [await running(by_volume=by_volume, volume_nanos=volume) for volume in (6, 7)]
    assert (below.found.quote.volume_nanos, reached.found.quote.volume_nanos) == (6, 7)
    assert reached.found.quote.max_nanos * 2 == below.found.quote.max_nanos
    for served, full, half in ((None, "10", "5"), (Tier.PRIORITY, "17", "8.5")):
        found = [await price_up(call, Outcome.COMPLETED, facts(served_tier=served)) for call in (below, reached)]
        assert [rates(event)["output"] for event in found] == [full, half]
        assert found[0].cost_nanos == found[1].cost_nanos


@pytest.mark.parametrize("named", [0, 5])
async def test_images_priced_apart_are_charged_at_their_price_whether_or_not_the_provider_names_them(
    named: int,
) -> None:
    media = cast(Any, types.SimpleNamespace(probe=probe))
    rates_of = [Rates(input=10_000, output=1, input_image=1_000), Rates(input=4_000, output=1, input_image=400)]
    rows = [OperatorRow(model="gpt-4o", rates=one) for one in rates_of]
    world = priced_world(media=media)
    world.prices = world.catalogue.price_book(rows[:1], rows[1:])
    picture = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}]}]
    found = await estimate(world, caller(), Surface.CHAT, body(messages=picture), DAY)
    counted = found.count.image.predicted
    assert counted == 255
    call = Running(world, caller(), found, hold_order("org_1", 10**9, mode=Mode.LIVE), 10**9, started_ms=-7)
    call.deployment, call.accepted = FIRST, True
    event = await price_up(
        call, Outcome.COMPLETED, facts(usage=Quantities(input_tokens=1000, input_image_tokens=named, output_tokens=1))
    )
    image = named or counted
    assert (event.usage.input_image_tokens, event.usage.input_tokens) == (image, 1000)
    lines = {line["unit"]: line["quantity"] for line in json.loads(event.charge)["lines"]}
    assert lines == {"input": 1000 - image, "input_image": image, "output": 1}
    assert event.charge_nanos == -(-((1000 - image) * 10_000 + image * 1_000 + 1) // 10**6)
    assert event.cost_nanos == -(-((1000 - image) * 4_000 + image * 400 + 1) // 10**6)
    less = await price_up(call, Outcome.COMPLETED, facts(usage=Quantities(input_tokens=7, output_tokens=1)))
    assert less.usage.input_image_tokens == 7, "never more than there was"


async def test_without_rows_of_its_own_cost_is_the_price() -> None:
    event = await price_up(await running(operator=False), Outcome.COMPLETED, facts())
    assert event.cost_nanos == event.charge_nanos == 800 * 2_500 + 200 * 1_250 + 100 * 10_000


async def test_the_served_tier_is_charged() -> None:
    call = await running()
    event = await price_up(call, Outcome.COMPLETED, facts(served_tier=Tier.PRIORITY))
    assert (event.served_tier, rates(event)["output"]) == ("priority", "9.9")
    asked = await running(service_tier="priority")
    event = await price_up(asked, Outcome.COMPLETED, facts(served_tier=Tier.DEFAULT))
    assert (event.served_tier, rates(event)["output"]) == ("default", "7")
    event = await price_up(asked, Outcome.COMPLETED, facts())
    assert (event.served_tier, rates(event)["output"]) == ("priority", "9.9")


async def test_a_served_tier_without_a_price_is_charged_as_asked() -> None:
    event = await price_up(await running(), Outcome.COMPLETED, facts(served_tier=Tier.FLEX))
    assert (event.served_tier, rates(event)["output"]) == ("default", "7")


async def test_nothing_above_the_hold_is_charged() -> None:
    call = await running(granted=1000)
    event = await price_up(call, Outcome.COMPLETED, facts())
    full = 800 * 1_750 + 200 * 875 + 100 * 7_000
    assert (event.charge_nanos, event.waived_nanos) == (1000, full - 1000)
    assert json.loads(event.charge)["nanos"] == 1000
    assert event.cost_nanos > 1000, "the provider bills it all the same"


async def test_test_calls_cost_and_lose_nothing() -> None:
    call = await running(mode=Mode.TEST)
    call.lost = [FIRST]
    event = await price_up(call, Outcome.COMPLETED, facts())
    assert event.charge_nanos > 0
    assert (event.cost_nanos, event.loss_nanos) == (0, 0)
    failed = await price_up(call, Outcome.PROVIDER_ERROR, facts())
    assert (failed.charge_nanos, failed.cost_nanos, failed.loss_nanos) == (0, 0, 0)


async def test_what_nobody_pays_for_is_lost() -> None:
    call = await running()
    event = await price_up(call, Outcome.PROVIDER_TIMEOUT, facts())
    lost = 800 * 2_500 + 200 * 1_250 + 100 * 10_000
    assert (event.charge_nanos, event.waived_nanos, event.cost_nanos, event.loss_nanos) == (0, 0, 0, lost)
    call.accepted = False
    assert (await price_up(call, Outcome.PROVIDER_TIMEOUT, facts())).loss_nanos == 0


async def test_deployments_that_took_the_call_and_gave_no_answer_are_lost_beside_the_one_that_did() -> None:
    call = await running()
    inputs = call.found.count.total.predicted
    call.lost = [FIRST, SECOND]
    event = await price_up(call, Outcome.COMPLETED, facts())
    assert event.loss_nanos == inputs * 2_500 + inputs * 1_100
    assert event.charge_nanos > 0


async def test_a_call_that_met_no_provider_costs_nothing_and_is_booked_as_asked() -> None:
    call = await running(service_tier="priority")
    call.deployment, call.accepted = None, False
    event = await price_up(call, Outcome.CANCELLED, ReplyFacts())
    assert (event.charge_nanos, event.cost_nanos, event.loss_nanos) == (0, 0, 0)
    assert (event.deployment, event.status, event.served_tier) == ("", 0, "priority")
    assert event.usage_source is UsageSource.NONE


async def test_a_new_call_was_taken_by_nobody() -> None:
    call = await running()
    fresh = Running(call.world, call.caller, call.found, call.order, call.granted_nanos, call.started_ms)
    assert not fresh.accepted
    assert not fresh.spoiled


async def test_usage_that_contradicts_itself_is_replaced_by_our_count_within_the_cap() -> None:
    wrong = Quantities(input_tokens=5, cached_input_tokens=10, output_tokens=70)
    call = await running(n=3)
    event = await price_up(call, Outcome.COMPLETED, facts(usage=wrong))
    assert event.usage_source is UsageSource.QUARANTINED
    assert event.usage == Quantities(input_tokens=call.found.count.total.predicted, output_tokens=70)
    call = await running()
    assert (await price_up(call, Outcome.COMPLETED, facts(usage=wrong))).usage.output_tokens == 50, "the cap"


async def test_usage_that_no_context_holds_is_replaced_by_our_count() -> None:
    for choices in (1, 3):
        call = await running(n=choices)
        context_max = call.found.model.context_max
        assert context_max is not None
        most = Quantities(input_tokens=2 * context_max, output_tokens=(4 * choices - 2) * context_max)
        assert (await price_up(call, Outcome.COMPLETED, facts(usage=most))).usage_source is UsageSource.PROVIDER
        beyond = msgspec.structs.replace(most, output_tokens=most.output_tokens + 1)
        event = await price_up(call, Outcome.COMPLETED, facts(usage=beyond))
        assert (event.usage_source, event.waived_nanos) == (UsageSource.QUARANTINED, 0)
        assert event.usage.output_tokens == counter_for("o200k_base")(TEXT)


async def test_delivered_text_is_counted_when_usage_is_missing_absurd_or_names_no_output() -> None:
    tokens = counter_for("o200k_base")(TEXT)
    for said in (
        facts(usage=None),
        facts(usage=None, absurd=True),
        facts(absurd=True),
        facts(usage=Quantities(input_tokens=9)),
    ):
        call = await running()
        event = await price_up(call, Outcome.COMPLETED, said)
        assert event.usage_source is (UsageSource.QUARANTINED if said.absurd else UsageSource.LOCAL)
        assert event.usage == Quantities(input_tokens=call.found.count.total.predicted, output_tokens=tokens)


async def test_our_own_count_of_output_stays_within_what_was_asked_for() -> None:
    long = TEXT * 5000
    for choices in (1, 2):
        call = await running(n=choices)
        event = await price_up(call, Outcome.CLIENT_DISCONNECTED, facts(usage=None, output_text=long))
        assert event.usage.output_tokens == 50 * choices


async def test_a_client_that_left_before_anything_came_is_charged_nothing() -> None:
    event = await price_up(await running(), Outcome.CLIENT_DISCONNECTED, ReplyFacts())
    assert event.charge_nanos == 0
    assert event.usage == Quantities()


async def test_an_answer_that_never_ended_and_held_nothing_is_free() -> None:
    nothing = ReplyFacts()
    assert (await price_up(await running(), Outcome.COMPLETED, nothing)).charge_nanos == 0
    call = await running()
    event = await price_up(call, Outcome.COMPLETED, ReplyFacts(finish_reason="stop"))
    assert event.usage == Quantities(input_tokens=call.found.count.total.predicted), "an end alone costs the input"


async def test_the_record_names_the_last_attempt_and_the_time_it_took() -> None:
    call = await running()
    attempts = [
        Attempt(deployment="first/gpt-4o", status=503, error="overloaded", started_at=1, duration_ms=1),
        Attempt(deployment="second/gpt-4o", status=200, error=None, started_at=1, duration_ms=1),
    ]
    call.attempts = attempts
    event = await price_up(call, Outcome.COMPLETED, facts())
    assert (event.status, event.attempts, event.latency_ms) == (200, tuple(attempts), 7)
    call.attempts = [replace_status(attempts[0])]
    assert (await price_up(call, Outcome.PROVIDER_ERROR, facts())).status == 0


def replace_status(attempt: Attempt) -> Attempt:
    return Attempt(deployment=attempt.deployment, status=None, error="provider_error", started_at=1, duration_ms=1)


async def test_what_has_no_cost_row_costs_nothing_known() -> None:
    call = await running()
    call.found = msgspec.structs.replace(call.found, as_of=date(2001, 1, 1), rows=call.found.rows[:1])
    call.lost = [FIRST, SECOND]
    event = await price_up(call, Outcome.COMPLETED, facts())
    inputs = call.found.count.total.predicted
    assert (event.cost_nanos, event.loss_nanos) == (0, inputs * 1_100), "the operator's row has no first day"
    assert event.charge_nanos > 0, "the price that was pinned stands"


async def test_text_is_counted_only_where_it_matters_and_long_text_beside_the_event_loop() -> None:
    threads: list[threading.Thread] = []

    def counter(text: str, /) -> int:
        threads.append(threading.current_thread())
        return len(text)

    call = await running()
    call.world.counter_for = lambda encoding: counter
    for outcome in (Outcome.COMPLETED, Outcome.CLIENT_DISCONNECTED):
        await price_up(call, outcome, facts())
    await price_up(call, Outcome.COMPLETED, facts(usage=None, output_text="", output_chars=0, has_output=False))
    assert threads == []
    here = threading.current_thread()
    for length, beside in ((8_000, False), (8_001, True)):
        await price_up(call, Outcome.COMPLETED, facts(usage=None, output_text="x" * length))
        assert (threads.pop() is not here) is beside


async def test_of_an_answer_too_large_to_be_read_all_that_was_asked_for_may_be_lost() -> None:
    call = await running(n=3)
    call.overlong = True
    event = await price_up(call, Outcome.PROVIDER_ERROR, facts(usage=None, output_text="", output_chars=0))
    asked = Quantities(input_tokens=call.found.count.total.predicted, output_tokens=150)
    assert (event.charge_nanos, event.loss_nanos) == (0, asked.input_tokens * 2_500 + 150 * 10_000)


async def test_usage_that_cannot_be_true_is_said_to_be_quarantined() -> None:
    call = await running()
    event = await price_up(call, Outcome.COMPLETED, facts(usage=None, absurd=True))
    assert event.usage_source is UsageSource.QUARANTINED
    assert call.world.quarantined == {"first/gpt-4o": 1}


async def test_of_a_model_whose_context_nobody_knows_any_usage_is_believed() -> None:
    call = await running()
    model = msgspec.structs.replace(call.found.model, context_max=None)
    call.found = msgspec.structs.replace(call.found, model=model)
    event = await price_up(call, Outcome.COMPLETED, facts(usage=Quantities(input_tokens=10**8, output_tokens=1)))
    assert (event.usage.input_tokens, event.usage_source) == (10**8, UsageSource.PROVIDER)
