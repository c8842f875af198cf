"""Ids sort by time and never repeat."""

from hypothesis import given
from hypothesis import strategies as st

from tessera.domain.ids import make_id

times = st.integers(0, 2**48 - 1)
random_bytes = st.binary(min_size=10, max_size=10)


@given(times, times, random_bytes, random_bytes)
def test_ids_sort_by_the_time_they_were_made(first: int, second: int, a: bytes, b: bytes) -> None:
    assert (make_id("req", first, a) < make_id("req", second, b)) == ((first, a) < (second, b))


@given(times, random_bytes)
def test_an_id_is_its_prefix_and_32_digits(time_ms: int, random: bytes) -> None:
    made = make_id("req", time_ms, random)
    assert made.startswith("req_")
    assert len(made) == 36
    assert set(made[4:]) <= set("0123456789abcdef")
