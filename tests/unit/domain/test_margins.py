"""Margins are exact integer sums of what the ledger settled, however they are told apart."""

from datetime import date

from hypothesis import given
from hypothesis import strategies as st

from tessera.domain.margins import MarginGroup, MarginSums, Period, SettledSums, margins_of

AMOUNT = st.integers(0, 2**60)
ROWS = st.lists(
    st.builds(
        SettledSums,
        day=st.integers(20_000, 20_100),
        organization_id=st.sampled_from(("org_1", "org_2")),
        model=st.sampled_from(("gpt-4o", "gpt-5.2-pro")),
        deployment=st.sampled_from(("openai/gpt-4o", "local/org/model", "")),
        sums=st.builds(
            MarginSums,
            requests=st.integers(1, 9),
            charge_nanos=AMOUNT,
            waived_nanos=AMOUNT,
            cost_nanos=AMOUNT,
            loss_nanos=AMOUNT,
        ),
    ),
    min_size=1,
)


@given(ROWS, st.sets(st.sampled_from(MarginGroup)), st.sampled_from(Period))
def test_every_way_of_telling_calls_apart_adds_up_to_the_same(
    rows: list[SettledSums], by: set[MarginGroup], per: Period
) -> None:
    (whole,) = margins_of(rows, (), Period.ALL)
    lines = margins_of(rows, by, per)
    for name in (*MarginSums.__struct_fields__, "margin_nanos"):
        assert sum(getattr(line.sums, name) for line in lines) == getattr(whole.sums, name)
    places = [(line.start, line.organization_id, line.model, line.provider) for line in lines]
    assert len(set(places)) == len(places)
    assert [line.start or date.min for line in lines] == sorted(line.start or date.min for line in lines)


def test_a_provider_that_bills_more_than_was_charged_leaves_a_negative_margin() -> None:
    sums = MarginSums(requests=1, charge_nanos=5, waived_nanos=9, cost_nanos=4, loss_nanos=3)
    row = SettledSums(day=20_423, organization_id="org_1", model="m", deployment="local/a/b", sums=sums)
    (line,) = margins_of([row], tuple(MarginGroup), Period.MONTH)
    assert (line.start, line.provider, line.sums.margin_nanos) == (date(2025, 12, 1), "local", -2)
