"""Twenty seconds of the soak: everything taken is given back, and the ledger holds nothing."""

import pytest

from soak.__main__ import describe, soak
from soak.samples import Sample, slope_kib_a_minute


@pytest.mark.timeout(300)
def test_a_server_gives_back_what_mixed_load_made_it_take() -> None:
    outcome = soak(20, callers=8, every_s=1)
    assert not outcome.wrong, describe(outcome)
    assert len({key.partition(":")[0] for key in outcome.told}) >= 12, describe(outcome)


def test_growth_is_measured_a_minute() -> None:
    samples = [Sample(at, 1_000 + int(at), 0, 0, 0, 0, 0, 0) for at in range(0, 600, 10)]
    assert round(slope_kib_a_minute(samples)) == 60
