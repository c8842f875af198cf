"""Calls of the past at other prices: the same formula, the same rows, the same integers."""

from datetime import date

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from price_strategies import quantities, rows
from tessera.domain.money import Mode
from tessera.domain.pricing import OperatorRow, PriceBook, PriceRow, Rates, charge
from tessera.domain.quantities import Quantities
from tessera.domain.repricing import CallModel, Repriced, RunningVolume, SettledCall, day_of, reprice
from tessera.domain.request import Tier

AT_US = 1_795_305_600_000_000
DAY = date(2026, 11, 22)
MODEL = CallModel("model", "own")


def settled(usage: Quantities, **changes: object) -> SettledCall:
    fields: dict[str, object] = {
        "number": 1,
        "organization_id": "org_1",
        "mode": Mode.LIVE,
        "model": "model",
        "deployment": "first/model",
        "tier": Tier.DEFAULT,
        "usage": usage,
        "charge_nanos": 0,
        "waived_nanos": 0,
        "cost_nanos": 0,
        "loss_nanos": 0,
        "placed_at_us": AT_US,
        "settled_at_us": AT_US + 1,
    }
    return SettledCall(**(fields | changes))  # type: ignore[arg-type]


def at(book: PriceBook, call: SettledCall, volume: int = 0) -> Repriced | None:
    return reprice(book, call, MODEL, ("org_1", "acme"), day_of(call), volume)


def test_a_call_without_a_price_is_none_and_one_that_used_nothing_costs_nothing() -> None:
    used = Quantities(input_tokens=1)
    assert at(PriceBook([]), settled(used)) is None
    assert at(PriceBook([]), settled(Quantities())) == Repriced(0, 0)
    abandoned = settled(Quantities(), tier="", deployment="")
    assert at(PriceBook([]), abandoned) == Repriced(0, 0)


@given(rows(), quantities(), st.integers(0, 2**40))
def test_at_the_prices_it_had_a_call_is_charged_the_same_nano_dollars(
    row: PriceRow, usage: Quantities, waived: int
) -> None:
    price = charge(row, usage).nanos
    waived = min(waived, price)
    call = settled(usage, charge_nanos=price - waived, waived_nanos=waived)
    assert at(PriceBook([row]), call) == Repriced(price - waived, price)


@given(rows(), rows(), quantities())
def test_price_and_cost_are_each_of_their_own_row(row: PriceRow, other: PriceRow, usage: Quantities) -> None:
    cost = OperatorRow(
        model="model",
        provider="first",
        rates=other.rates,
        above_tokens=other.above_tokens,
        above_rates=other.above_rates,
    )
    book = PriceBook([row], (), [cost])
    assert at(book, settled(usage)) == Repriced(charge(row, usage).nanos, charge(other, usage).nanos)
    assert at(book, settled(usage, mode=Mode.TEST)) == Repriced(charge(row, usage).nanos, 0)


def test_a_call_is_priced_by_its_day_provider_organization_tier_and_volume() -> None:
    def own(price: int, **narrowing: object) -> OperatorRow:
        return OperatorRow(model="model", rates=Rates(input=price, output=0), **narrowing)  # type: ignore[arg-type]

    book = PriceBook(
        [],
        [
            own(1),
            own(2, valid_from=DAY),
            own(3, provider="own"),
            own(4, tier=Tier.FLEX),
            own(5, volume_from_nanos=9),
            own(6, organization="acme", valid_from=date(2026, 11, 23)),
        ],
    )
    call = settled(Quantities(input_tokens=1_000_000))
    found = [
        at(book, call),
        at(book, call, 9),
        at(book, msgspec.structs.replace(call, placed_at_us=AT_US - 1)),
        at(book, msgspec.structs.replace(call, mode=Mode.TEST)),
        at(book, msgspec.structs.replace(call, tier=Tier.FLEX)),
        at(book, msgspec.structs.replace(call, placed_at_us=AT_US + 86_400_000_000)),
    ]
    assert [one and one.charge_nanos for one in found] == [2, 5, 1, 3, 4, 6]
    assert at(book, msgspec.structs.replace(call, tier=Tier.BATCH)) is None


def test_a_call_whose_usage_went_past_its_hold_is_charged_the_same_part_of_its_new_price() -> None:
    book = PriceBook([], [OperatorRow(model="model", rates=Rates(input=3_000_000, output=0))])
    call = settled(Quantities(input_tokens=100), charge_nanos=60, waived_nanos=40)
    assert at(book, call) == Repriced(180, 0)


def test_a_running_volume_counts_calls_from_when_they_were_settled_and_starts_anew_each_month() -> None:
    volume = RunningVolume()
    volume.add(AT_US + 50, 7)
    volume.add(AT_US + 10, 1)
    assert [volume.before(AT_US + off) for off in (9, 10, 49, 50)] == [0, 1, 1, 8]
    december = AT_US + 9 * 86_400_000_000
    volume.add(december, 100)
    assert [volume.before(december - 1), volume.before(december)] == [8, 100]
    volume.add(AT_US + 60, 1000)
    assert volume.before(december + 1) == 100
