"""What a call is counted and priced as, before anything is spent on it: refusals, caps, rows, and what a price buys."""

import asyncio
import threading
from collections.abc import Sequence
from datetime import date
from typing import Any, cast

import msgspec
import pytest

from priced_world import NOW_US, body, caller, priced_world
from simulation.process import DEPLOYMENTS
from tessera.catalog.catalogue import load_catalogue
from tessera.catalog.models import ConfiguredModel
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.key_rules import KeyRules
from tessera.domain.money import Mode
from tessera.domain.pricing import OperatorRow, PriceRow, Rates
from tessera.domain.request import ImagePart, Surface, Tier
from tessera.flows.quoting import (
    Estimate,
    asked_model,
    deployments,
    estimate,
    offer,
    output_affordable,
    price_row,
    with_output_cap,
)
from tessera.flows.world import World
from tessera.ports import Deployment, ProbedImage

pytestmark = pytest.mark.anyio

DAY = date(2026, 11, 19)
OWN = ConfiguredModel(id="own", like="gpt-4o", context_max=1000, output_max=200, output_default=100)
RATES = Rates(input=1_000_000_000, output=2_000_000_000)


def deployment(provider: str, *surfaces: Surface) -> Deployment:
    return Deployment(name=f"{provider}/own", provider=provider, model="own", upstream_model="own", surfaces=surfaces)


def own_world(
    model: ConfiguredModel = OWN,
    prices: Sequence[OperatorRow] = (OperatorRow(model="own", rates=RATES),),
    ways: tuple[Deployment, ...] = (deployment("first", Surface.CHAT),),
    **parts: Any,
) -> World:
    """A model of the operator's own, which is all there is to call."""
    catalogue = load_catalogue([model])
    return priced_world(catalogue=catalogue, prices=catalogue.price_book(prices), deployments={"own": ways}, **parts)


async def own(world: World | None = None, rules: KeyRules | None = None, **fields: Any) -> Estimate:
    return await estimate(world or own_world(), caller(rules=rules), Surface.CHAT, body("own", **fields), DAY)


async def refusal(**call: Any) -> TesseraError:
    with pytest.raises(TesseraError) as refused:
        await own(**call)
    return refused.value


# ---- which model ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("raw", [b"{}", b'{"model": 7}', b'{"model": null}'])
async def test_a_body_that_names_no_model_is_refused(raw: bytes) -> None:
    with pytest.raises(TesseraError) as refused:
        await asked_model(priced_world(), raw)
    assert (refused.value.code, refused.value.param) == (ErrorCode.INVALID_REQUEST, "model")
    assert (await asked_model(priced_world(), body())).id == "gpt-4o"


async def test_others_run_while_a_large_body_is_opened() -> None:
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    beside = asyncio.ensure_future(other())
    raw = b'{"model":"gpt-4o","image":"data:image/png;base64,' + b"A" * (6 << 20) + b'"}'
    assert (await asked_model(priced_world(), raw)).id == "gpt-4o"
    beside.cancel()
    assert turns >= 6


async def test_a_key_uses_the_models_of_its_rules_under_all_their_names_and_no_other() -> None:
    async def ask(rules: KeyRules | None, model: str = "gpt-4o") -> str:
        found = await estimate(priced_world(), caller(rules=rules), Surface.CHAT, body(model), DAY)
        return found.model.id

    assert await ask(None) == await ask(KeyRules()) == await ask(KeyRules(models=("gpt-5.2", "gpt-4o"))) == "gpt-4o"
    assert await ask(KeyRules(models=("gpt-4o",)), "gpt-4o-2024-11-20") == "gpt-4o-2024-11-20"
    with pytest.raises(TesseraError) as refused:
        await ask(KeyRules(models=("gpt-5.2",)))
    assert refused.value.code is ErrorCode.PERMISSION_DENIED


async def test_a_model_that_was_shut_down_serves_test_calls_only() -> None:
    world = priced_world(deployments={"gpt-4": (deployment("first", Surface.CHAT),)})
    last, day_after = date(2026, 10, 22), date(2026, 10, 23)
    for mode, day in ((Mode.LIVE, last), (Mode.TEST, day_after)):
        assert (await estimate(world, caller(mode), Surface.CHAT, body("gpt-4"), day)).model.id == "gpt-4"
    with pytest.raises(TesseraError) as refused:
        await estimate(world, caller(Mode.LIVE), Surface.CHAT, body("gpt-4"), day_after)
    assert (refused.value.code, refused.value.param) == (ErrorCode.MODEL_NOT_FOUND, "model")


async def test_images_for_a_model_that_sees_none_are_refused_at_their_place() -> None:
    parts = [{"type": "text", "text": "?"}, {"type": "image_url", "image_url": {"url": "https://example.com/1x1.png"}}]
    blind = ConfiguredModel(id="own", output_default=100)
    error = await refusal(world=own_world(blind), messages=[{"role": "user", "content": parts}])
    assert error.code is ErrorCode.UNSUPPORTED_PARAMETER
    assert error.param == "messages[0].content[1].image_url.url"


async def test_a_model_that_draws_does_not_answer() -> None:
    with pytest.raises(TesseraError) as refused:
        await estimate(priced_world(), caller(Mode.TEST), Surface.CHAT, body("gpt-image-1"), DAY)
    assert (refused.value.code, refused.value.param) == (ErrorCode.UNSUPPORTED_PARAMETER, "model")


# ---- how much output --------------------------------------------------------------------------------------------


async def test_without_a_cap_a_call_has_the_models_default_or_its_keys_if_that_is_less() -> None:
    for key_max, cap in ((None, 100), (99, 99), (101, 100)):
        rules = None if key_max is None else KeyRules(output_tokens_max=key_max)
        found = await own(rules=rules, max_completion_tokens=None)
        assert found.output_cap == found.quote.output_max_tokens == cap
    assert (await own(rules=KeyRules(), max_completion_tokens=None)).output_cap == 100


async def test_a_cap_may_be_what_the_key_and_the_model_allow_and_not_one_token_more() -> None:
    assert (await own(max_completion_tokens=200)).output_cap == 200
    error = await refusal(max_completion_tokens=201)
    assert (error.code, error.param) == (ErrorCode.INVALID_REQUEST, "max_completion_tokens")
    key = KeyRules(output_tokens_max=60)
    assert (await own(rules=key, max_completion_tokens=60)).output_cap == 60
    error = await refusal(rules=key, max_completion_tokens=61)
    assert (error.code, error.param) == (ErrorCode.PERMISSION_DENIED, "max_completion_tokens")


async def test_a_cap_that_is_refused_has_the_name_its_caller_gave_it() -> None:
    for caps, name in (
        ({"max_completion_tokens": None, "max_tokens": 201}, "max_tokens"),
        ({"max_completion_tokens": 201, "max_tokens": 5}, "max_completion_tokens"),
        ({"max_completion_tokens": 5, "max_tokens": 201}, "max_tokens"),
    ):
        error = await refusal(**caps)
        assert (error.param, error.message) == (name, f"{name} is 201; own writes at most 200 tokens.")


async def test_of_a_model_whose_longest_answer_nobody_knows_any_cap_can_be_asked_for() -> None:
    unknown = msgspec.structs.replace(OWN, output_max=None)
    assert (await own(own_world(unknown), max_completion_tokens=10**6)).output_cap == 10**6


async def test_a_refused_cap_is_named_as_its_surface_names_it() -> None:
    world = own_world(ways=(deployment("first", Surface.RESPONSES),))
    raw = b'{"model": "own", "input": "Hi", "max_output_tokens": 201}'
    with pytest.raises(TesseraError) as refused:
        await estimate(world, caller(), Surface.RESPONSES, raw, DAY)
    assert refused.value.param == "max_output_tokens"


async def test_the_shortest_answer_worth_asking_for_is_that_of_every_surface_it_may_be_asked_on() -> None:
    chat, responses = deployment("first", Surface.CHAT), deployment("second", Surface.RESPONSES)
    for ways, cap, least in (((chat,), 50, 1), ((chat, responses), 50, 16), ((responses,), 8, 8)):
        assert (await own(own_world(ways=ways), max_completion_tokens=cap)).output_cap_min == least


async def test_input_that_fills_the_context_is_taken_and_one_token_more_is_not() -> None:
    predicted = (await own()).count.total.predicted
    for limit in (predicted, None):
        assert await own(own_world(msgspec.structs.replace(OWN, context_max=limit)))
    error = await refusal(world=own_world(msgspec.structs.replace(OWN, context_max=predicted - 1)))
    assert error.code is ErrorCode.CONTEXT_LENGTH_EXCEEDED


# ---- at which price ---------------------------------------------------------------------------------------------


def test_live_keys_have_the_operators_deployments_and_test_keys_the_sandbox_on_the_models_surfaces() -> None:
    world = priced_world()
    model, pro, claude = (world.catalogue.model(name) for name in ("gpt-4o", "gpt-5.2-pro", "claude-sonnet-4-5"))
    assert deployments(world, caller(), model) == DEPLOYMENTS["gpt-4o"]
    assert deployments(world, caller(), claude) == ()
    spoken = {found.id: deployments(world, caller(Mode.TEST), found)[0].surfaces for found in (model, pro, claude)}
    assert spoken == {
        "gpt-4o": (Surface.CHAT, Surface.RESPONSES),
        "gpt-5.2-pro": (Surface.RESPONSES,),
        claude.id: (Surface.CHAT, Surface.RESPONSES),
    }
    (sandbox,) = deployments(world, caller(Mode.TEST), world.catalogue.model("gpt-4o-2024-11-20"))
    assert (sandbox.provider, sandbox.model, sandbox.upstream_model) == ("sandbox", "gpt-4o", "gpt-4o-2024-11-20")


async def test_what_is_offered_is_remembered_until_other_deployments_are_put_in_place() -> None:
    world = own_world()
    deployed, first = world.deployments, (await own(world)).plan
    assert (await own(world)).plan is first
    world.deploy({})
    assert (await refusal(world=world)).code is ErrorCode.NO_DEPLOYMENT
    world.deploy(deployed)
    assert (await own(world)).plan == first


async def test_what_is_offered_to_one_organization_is_not_to_another() -> None:
    catalogue = load_catalogue()
    rows = [OperatorRow(model="gpt-4o", organization="org_2", rates=Rates(input=1, output=1))]
    world = priced_world(catalogue=catalogue, prices=catalogue.price_book(rows))
    model = world.catalogue.model("gpt-4o")
    asked = (model, Surface.CHAT, Tier.DEFAULT, world.clock.today(), None)
    inputs = [
        offer(world, caller(organization_id=name), *asked)[1][0].rates.input for name in ("org_1", "org_2", "org_1")
    ]
    assert inputs[1] == 1
    assert inputs[0] == inputs[2] > 1


def test_a_test_call_is_priced_as_at_the_models_own_provider_and_a_live_one_where_it_runs() -> None:
    catalogue = load_catalogue()
    rows = [
        OperatorRow(model="gpt-4o", provider=name, rates=Rates(input=price, output=price))
        for name, price in (("openai", 1), ("first", 2), ("sandbox", 3))
    ]
    world = priced_world(catalogue=catalogue, prices=catalogue.price_book(rows))
    model, first = catalogue.model("gpt-4o"), DEPLOYMENTS["gpt-4o"][0]
    for mode, price in ((Mode.TEST, 1), (Mode.LIVE, 2)):
        assert price_row(world, caller(mode), model, first, Tier.DEFAULT, DAY, None).rates.input == price


async def test_each_price_a_call_may_be_charged_by_stands_once_and_the_dearest_is_the_maximum() -> None:
    ways = tuple(deployment(name, Surface.CHAT) for name in ("first", "second", "third"))
    dear = Rates(input=3_000_000_000, output=1_000_000_000)
    prices = (OperatorRow(model="own", rates=RATES), OperatorRow(model="own", provider="third", rates=dear))
    found = await own(own_world(prices=prices, ways=ways), max_completion_tokens=100)
    assert [row.rates for row in found.rows] == [RATES, dear]
    total = found.count.total.max
    assert found.quote.max_nanos == max(total * 1000 + 100 * 2000, total * 3000 + 100 * 1000)


async def test_text_is_held_at_its_exact_count_only_where_every_way_is_counted_exactly() -> None:
    chat, responses = deployment("first", Surface.CHAT), deployment("second", Surface.RESPONSES)
    exact = (await own(own_world(ways=(chat,)))).count
    assert exact.text.max == exact.text.predicted
    for ways in ((responses,), (chat, responses)):
        found = (await own(own_world(ways=ways))).count
        assert found.text.predicted == exact.text.predicted
        assert found.text.max > len(body("own"))


async def test_a_call_has_the_tier_it_asks_for_or_the_default() -> None:
    assert (await own()).tier is Tier.DEFAULT
    prices = (OperatorRow(model="own", rates=RATES), OperatorRow(model="own", tier=Tier.FLEX, rates=RATES))
    found = await own(own_world(prices=prices), service_tier="flex")
    assert (found.tier, found.quote.service_tier) == (Tier.FLEX, "flex")


async def test_a_quote_says_when_it_was_made_and_until_when_it_binds() -> None:
    quote = (await own()).quote
    assert (quote.id, quote.created_at, quote.expires_at) == ("quote_1", NOW_US // 10**6, NOW_US // 10**6 + 900)


def rows(*prices: tuple[int, int]) -> tuple[PriceRow, ...]:
    return tuple(
        PriceRow(
            id="row",
            model="own",
            tier=Tier.DEFAULT,
            rates=Rates(input=input * 10**6, output=output * 10**6),
            valid_from=date.min,
        )
        for input, output in prices
    )


@pytest.mark.parametrize("choices", [1, 3])
async def test_a_lower_cap_is_priced_as_if_it_had_been_asked_for(choices: int) -> None:
    found = msgspec.structs.replace(await own(n=choices), rows=rows((1000, 3000), (2000, 2000)))
    total = found.count.total.max
    for cap in (1, 10_000):
        lower = with_output_cap(found, cap)
        maximum = max(total * 1000 + choices * cap * 3000, total * 2000 + choices * cap * 2000)
        assert (lower.output_cap, lower.quote.output_max_tokens) == (cap, cap)
        assert lower.quote.max_nanos == maximum
        assert lower.quote.output_max_nanos + lower.quote.input_max_nanos == maximum


async def test_what_a_price_buys_is_the_longest_answer_it_pays_for_at_every_price_the_call_may_have() -> None:
    found = msgspec.structs.replace(await own(n=2), rows=rows((1000, 3000), (2000, 2000)))
    total = found.count.total.max
    for nanos in (total * 2000 + 2 * 7 * 3000, total * 2000 + 2 * 20 * 3000 - 1):
        cap = output_affordable(found, nanos)
        assert 0 < cap < found.output_cap
        assert with_output_cap(found, cap).quote.max_nanos <= nanos < with_output_cap(found, cap + 1).quote.max_nanos
    assert output_affordable(found, 10**12) == found.output_cap
    assert output_affordable(found, total * 2000 - 1) == output_affordable(found, 0) == 0


# ---- how it is counted ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "loaded", "beside"), [(32_768, True, False), (32_769, True, True), (99, False, True)])
async def test_a_long_text_and_a_vocabulary_that_must_be_read_are_counted_beside_the_event_loop(
    size: int, loaded: bool, beside: bool
) -> None:
    threads: list[threading.Thread] = []

    def counter(text: str, /) -> int:
        threads.append(threading.current_thread())
        return len(text)

    large = msgspec.structs.replace(OWN, context_max=None)
    world = own_world(large, counter_for=lambda _: counter, counts_at_once=lambda _: loaded)
    empty = len(body("own", messages=[{"role": "user", "content": ""}]))
    found = await own(world, messages=[{"role": "user", "content": "x" * (size - empty)}])
    assert found.request.text_bytes == size
    assert threads
    assert all((thread is not threading.current_thread()) is beside for thread in threads)


class SizedImages:
    """Images whose addresses say how large they are. Implements the `Media` port."""

    async def probe(self, images: Sequence[ImagePart], take: object = None) -> tuple[ProbedImage, ...]:
        return tuple(
            ProbedImage(
                index=image.index,
                source=image.url,
                format="png",
                width=512,
                height=512,
                orientation=6,
                size_bytes=67,
            )
            for image in images
        )


async def test_each_image_stands_in_the_quote_with_its_count_and_text_alone_is_not_probed() -> None:
    assert (await own()).quote.images == ()
    parts: list[dict[str, Any]] = [{"type": "text", "text": "What is this?"}]
    parts += [{"type": "image_url", "image_url": {"url": f"https://example.com/{name}.png"}} for name in "ab"]
    world = own_world(media=cast(Any, SizedImages()))
    found = await own(world, messages=[{"role": "user", "content": parts}])
    assert [(image.index, image.source, image.orientation) for image in found.quote.images] == [
        (0, "https://example.com/a.png", 6),
        (1, "https://example.com/b.png", 6),
    ]
    assert [image.count for image in found.quote.images] == list(found.count.images)
    assert found.count.image.predicted == sum(image.count.tokens.predicted for image in found.quote.images) > 0
