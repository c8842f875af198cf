"""The pool: bounded, restarted, cleared of secrets, and never in the way of the event loop."""

import asyncio
import os
import struct
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from images.pictures import encoded, plain, with_shapes
from tessera.adapters.providers.sight import engine as engine_module
from tessera.adapters.providers.sight.engine import SightEngine
from tessera.adapters.providers.sight.look import observe
from tessera.adapters.providers.sight.observation import SightLimits
from tessera.domain.errors import ErrorCode, TesseraError

pytestmark = pytest.mark.anyio
SHAPES = encoded(with_shapes())
QUICK = SightLimits(text_characters_max=0)


@pytest.fixture
async def engine() -> AsyncIterator[SightEngine]:
    running = SightEngine(limits=QUICK)
    yield running
    await running.close()


def children() -> set[int]:
    listed = Path(f"/proc/self/task/{os.getpid()}/children")
    return {int(child) for child in listed.read_text().split()} if listed.exists() else set()


def environment_of(process: int) -> bytes:
    return Path(f"/proc/{process}/environ").read_bytes()


async def test_what_the_workers_see_is_what_is_seen_here(engine: SightEngine) -> None:
    images = [SHAPES, encoded(plain("teal"), "JPEG")]
    assert await engine.observe_all(images) == tuple(observe(image, QUICK) for image in images)


async def test_no_process_is_started_before_the_first_picture_and_none_stays_after_closing() -> None:
    before = children()
    engine = SightEngine(limits=QUICK)
    assert await engine.observe_all([]) == ()
    assert children() == before
    await engine.observe_all([SHAPES])
    assert len(children() - before) == 1
    await engine.close()
    assert children() == before


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", ErrorCode.IMAGE_PARSE_ERROR),
        (SHAPES[:200], ErrorCode.IMAGE_PARSE_ERROR),
        (b"plain words", ErrorCode.UNSUPPORTED_IMAGE_FORMAT),
    ],
)
async def test_a_bad_picture_is_named_and_the_next_is_seen(engine: SightEngine, data: bytes, code: ErrorCode) -> None:
    with pytest.raises(TesseraError) as caught:
        await engine.observe_all([SHAPES, data])
    assert caught.value.code is code
    assert caught.value.param == "images[1]"
    assert len(await engine.observe_all([SHAPES])) == 1


async def test_a_full_queue_refuses_at_once_and_says_when_to_come_back() -> None:
    engine = SightEngine(queue_max=2, limits=QUICK)
    try:
        first = asyncio.create_task(engine.observe_all([SHAPES, SHAPES]))
        await asyncio.sleep(0)
        started = time.monotonic()
        with pytest.raises(TesseraError) as caught:
            await engine.observe_all([SHAPES])
        assert time.monotonic() - started < 0.1
        assert caught.value.code is ErrorCode.OVERLOADED
        assert (caught.value.retry_after_s or 0) >= 1
        assert len(await first) == 2
        assert len(await engine.observe_all([SHAPES])) == 1
    finally:
        await engine.close()


async def test_a_call_of_more_pictures_than_the_queue_holds_is_served_when_nothing_waits() -> None:
    engine = SightEngine(queue_max=2, limits=QUICK)
    try:
        assert len(await engine.observe_all([SHAPES] * 3)) == 3
    finally:
        await engine.close()


async def test_a_killed_worker_is_replaced_without_the_caller_noticing(engine: SightEngine) -> None:
    before = children()
    await engine.observe_all([SHAPES])
    (worker,) = children() - before
    os.kill(worker, 9)
    assert len(await engine.observe_all([SHAPES])) == 1
    assert children() - before != {worker}


async def test_a_picture_that_takes_too_long_is_given_up_and_the_pool_lives_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(engine_module, "START_SECONDS_MAX", 0.0)
    engine = SightEngine(limits=SightLimits(seconds_max=0.001))
    try:
        for _ in range(2):
            with pytest.raises(TesseraError) as caught:
                await engine.observe_all([SHAPES])
            assert caught.value.code is ErrorCode.OVERLOADED
    finally:
        await engine.close()


async def test_a_picture_that_needs_too_much_memory_is_refused_and_the_next_is_seen() -> None:
    engine = SightEngine(limits=SightLimits(memory_bytes_max=400_000_000, text_characters_max=0))
    try:
        with pytest.raises(TesseraError) as caught:
            await engine.observe_all([encoded(plain(size=(7000, 7000), mode="RGBA"))])
        assert caught.value.code is ErrorCode.IMAGE_TOO_LARGE
        assert len(await engine.observe_all([SHAPES])) == 1
    finally:
        await engine.close()


async def test_a_jpeg_of_200_megapixels_is_seen_at_the_size_it_is_looked_at(engine: SightEngine) -> None:
    small = encoded(plain("orange", size=(64, 64)), "JPEG")
    at = small.index(b"\xff\xc0") + 5  # its size: the rest of such a picture reads as grey
    large = small[:at] + struct.pack(">HH", 12_240, 16_320) + small[at + 4 :]
    (seen,) = await engine.observe_all([large])
    assert (seen.width, seen.height, seen.format) == (16_320, 12_240, "jpeg")


async def test_a_cancelled_call_leaves_nothing_for_the_next(engine: SightEngine) -> None:
    other = encoded(plain("orange"))
    await engine.observe_all([other])
    for delay in (0.0, 0.01, 0.05):
        call = asyncio.create_task(engine.observe_all([SHAPES] * 3))
        await asyncio.sleep(delay)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert await engine.observe_all([other]) == (observe(other, QUICK),)


async def test_the_event_loop_stays_free_while_pictures_are_looked_at(engine: SightEngine) -> None:
    await engine.observe_all([SHAPES])
    call = asyncio.create_task(engine.observe_all([SHAPES] * 4))
    ticks = 0
    while not call.done():
        await asyncio.sleep(0.005)
        ticks += 1
    assert ticks >= 5


async def test_a_worker_gets_none_of_the_servers_secrets(monkeypatch: pytest.MonkeyPatch, engine: SightEngine) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret-of-the-operator")
    before = children()
    await engine.observe_all([SHAPES])
    (worker,) = children() - before
    assert b"sk-secret-of-the-operator" not in environment_of(worker)


async def test_a_closed_engine_refuses() -> None:
    engine = SightEngine(limits=QUICK)
    await engine.close()
    with pytest.raises(TesseraError) as caught:
        await engine.observe_all([SHAPES])
    assert caught.value.code is ErrorCode.OVERLOADED
