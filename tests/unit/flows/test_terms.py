"""What a caller agrees to: terms that make no sense are refused, quotes bind while they last, caps fit a price."""

from pathlib import Path
from typing import Any

import pytest

from priced_world import NOW_US, body, caller, priced_world
from tessera.adapters.storage.sqlite import SqliteStorage
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.money import Mode
from tessera.domain.request import Surface
from tessera.flows.quoting import Estimate, estimate, with_output_cap
from tessera.flows.terms import Terms, agree, find_quote, read_terms
from tessera.flows.world import World
from tessera.ports import SavedQuote

pytestmark = pytest.mark.anyio


async def estimated(world: World | None = None, **fields: Any) -> Estimate:
    world = world or priced_world()
    return await estimate(world, caller(), Surface.CHAT, body(**fields), world.clock.today())


def saved(found: Estimate, **changes: Any) -> SavedQuote:
    known: dict[str, Any] = {
        "id": "quote_9",
        "organization_id": "org_1",
        "mode": Mode.LIVE,
        "model": found.model.canonical,
        "max_nanos": found.quote.max_nanos,
        "price_version": found.quote.price_version,
        "created_at_us": 3_000_000,
        "expires_at_us": 6_000_000,
        "body": b"{}",
    }
    return SavedQuote(**(known | changes))


@pytest.mark.parametrize(
    ("headers", "named"),
    [
        ((None, "5 dollars", None, None), "Tessera-Max-Price"),
        ((None, "-1", None, None), "Tessera-Max-Price"),
        ((None, "", None, None), "Tessera-Max-Price"),
        ((None, "1", "price", None), "Tessera-Fit"),
        ((None, "1", "", None), "Tessera-Fit"),
        ((None, None, "max-price", None), "Tessera-Fit"),
        ((None, None, None, ""), "Idempotency-Key"),
        ((None, None, None, "k" * 256), "Idempotency-Key"),
    ],
)
def test_a_term_that_makes_no_sense_is_refused_by_its_header(headers: tuple[str | None, ...], named: str) -> None:
    with pytest.raises(TesseraError) as refused:
        read_terms(*headers)
    assert (refused.value.code, refused.value.param) == (ErrorCode.INVALID_REQUEST, named)


def test_terms_are_what_the_headers_say_and_nothing_else() -> None:
    assert read_terms(None, None, None, None) == Terms()
    assert read_terms("quote_1", "0", "balance", "k") == Terms(
        quote_id="quote_1", price_max_nanos=0, fit="balance", idempotency_key="k"
    )
    assert read_terms(None, None, "balance", "k" * 255) == Terms(fit="balance", idempotency_key="k" * 255)
    assert read_terms(None, "0.5", "max-price", None) == Terms(price_max_nanos=500_000_000, fit="max-price")


async def test_a_quote_is_found_by_whom_it_was_given_to_and_until_the_moment_it_expires(tmp_path: Path) -> None:
    storage = await SqliteStorage.open(tmp_path)
    world = priced_world(storage=storage)
    organization = (await storage.create_organization("a customer")).id
    found = await estimated(world)
    ends = {"quote_over": NOW_US - 1, "quote_now": NOW_US, "quote_open": NOW_US + 1}
    for name, expires_at_us in ends.items():
        await storage.save_quote(saved(found, id=name, organization_id=organization, expires_at_us=expires_at_us))
    own, other = caller(organization_id=organization), caller(Mode.TEST, organization_id=organization)

    async def refusal(who: Any, name: str) -> TesseraError:
        with pytest.raises(TesseraError) as refused:
            await find_quote(world, who, name)
        return refused.value

    opened = await find_quote(world, own, "quote_open")
    assert opened.id == "quote_open"
    for name in ("quote_over", "quote_now"):
        assert (await refusal(own, name)).code is ErrorCode.QUOTE_EXPIRED
    for who, name in ((own, "quote_none"), (other, "quote_open")):
        assert (await refusal(who, name)).code is ErrorCode.QUOTE_MISMATCH
    await storage.close()


async def test_a_call_within_its_quote_goes_under_the_quotes_name_and_life() -> None:
    found = await estimated()
    agreed = agree(Terms(), saved(found), found)
    assert (agreed.quote.id, agreed.quote.created_at, agreed.quote.expires_at) == ("quote_9", 3, 6)
    assert agreed.quote.max_nanos == found.quote.max_nanos
    assert agreed.output_cap == found.output_cap


@pytest.mark.parametrize(("model", "less"), [("gpt-5.2", 0), ("gpt-4o", 1)])
async def test_a_call_of_another_model_or_a_nano_dearer_than_its_quote_is_refused(model: str, less: int) -> None:
    found = await estimated()
    quote = saved(found, model=model, max_nanos=found.quote.max_nanos - less)
    with pytest.raises(TesseraError) as refused:
        agree(Terms(price_max_nanos=10**12), quote, found)
    assert (refused.value.code, refused.value.param) == (ErrorCode.QUOTE_MISMATCH, "Tessera-Quote")


async def test_a_quote_of_other_prices_is_refused_however_little_the_call_costs_now() -> None:
    found = await estimated()
    quote = saved(found, max_nanos=10 * found.quote.max_nanos, price_version="book-before")
    with pytest.raises(TesseraError, match="Prices have changed") as refused:
        agree(Terms(), quote, found)
    assert (refused.value.code, refused.value.param) == (ErrorCode.QUOTE_MISMATCH, "Tessera-Quote")


async def test_a_call_that_can_cost_exactly_its_highest_price_is_left_as_it_is() -> None:
    found = await estimated()
    assert agree(Terms(price_max_nanos=found.quote.max_nanos), None, found) is found
    assert agree(Terms(price_max_nanos=found.quote.max_nanos, fit="max-price"), None, found) is found


async def test_a_call_a_nano_over_its_highest_price_is_refused_with_what_it_could_afford() -> None:
    found = await estimated()
    limit = found.quote.max_nanos - 1
    for fit in (None, "balance"):
        with pytest.raises(TesseraError, match="send Tessera-Fit: max-price") as refused:
            agree(Terms(price_max_nanos=limit, fit=fit), None, found)  # type: ignore[arg-type]
        assert refused.value.code is ErrorCode.PRICE_OVER_LIMIT
        assert refused.value.details["required_nanos"] == found.quote.max_nanos
        assert refused.value.details["limit_nanos"] == limit
        assert refused.value.details["output_tokens_affordable"] == 49


async def test_fitting_lowers_the_cap_down_to_the_shortest_answer_and_no_further() -> None:
    found = await estimated()
    assert found.output_cap_min == 1
    shortest = with_output_cap(found, 1).quote.max_nanos
    fitted = agree(Terms(price_max_nanos=shortest, fit="max-price"), None, found)
    assert (fitted.output_cap, fitted.quote.output_max_tokens, fitted.quote.max_nanos) == (1, 1, shortest)
    with pytest.raises(TesseraError, match="Even the shortest answer is not covered") as refused:
        agree(Terms(price_max_nanos=shortest - 1, fit="max-price"), None, found)
    assert refused.value.code is ErrorCode.PRICE_OVER_LIMIT
    assert refused.value.details["output_tokens_affordable"] == 0
