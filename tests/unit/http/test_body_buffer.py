"""A body is put together from pieces of any size, whatever its sender said of its length."""

import tracemalloc

from hypothesis import example, given
from hypothesis import strategies as st

from tessera.http.body_buffer import BodyBuffer

ROOM_BYTES_MIN = 256 * 1024
SIZES = st.lists(st.integers(0, 300_000), min_size=1, max_size=40)


@given(SIZES, st.integers(-500_000, 500_000) | st.just(50_000_000))
@example([1] * 5, 50_000_000)
@example([65_536] * 64, 0)
@example([ROOM_BYTES_MIN, 1, ROOM_BYTES_MIN * 4], 3)
def test_what_comes_out_is_what_went_in(sizes: list[int], missaid_bytes: int) -> None:
    pieces = [bytes([number % 256]) * size for number, size in enumerate(sizes)]
    body = b"".join(pieces)
    buffer = BodyBuffer(max(0, len(body) + missaid_bytes))
    for piece in pieces:
        buffer.add(piece)
    assert buffer.size_bytes == len(body)
    assert buffer.whole() == body


@given(SIZES, st.integers(1, 50_000_000))
@example([1], 50_000_000)
@example([200_000, 62_145], 4_000_000)
def test_what_is_promised_takes_at_most_four_times_what_has_come(sizes: list[int], expected_bytes: int) -> None:
    buffer = BodyBuffer(expected_bytes)
    for size in sizes:
        tracemalloc.start()
        try:
            buffer.add(bytes(size))
            new_bytes = tracemalloc.get_traced_memory()[0]
        finally:
            tracemalloc.stop()
        assert new_bytes <= max(4 * buffer.size_bytes + 4, ROOM_BYTES_MIN) * 9 // 8 + 4096


def test_a_large_body_is_in_memory_once() -> None:
    piece, count = bytes(65_536), 128
    tracemalloc.start()
    try:
        buffer = BodyBuffer(len(piece) * count)
        for _ in range(count):
            buffer.add(piece)
        body = buffer.whole()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # A quarter of it lies in its last place but one while it is copied from there.
    assert peak < len(body) * 1.27
