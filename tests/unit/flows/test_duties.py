"""A duty goes on for as long as its server does."""

import asyncio

import pytest
import structlog

from tessera.flows.duties import start_duty

pytestmark = pytest.mark.anyio


async def test_a_duty_that_fails_unexpectedly_says_so_and_is_begun_again() -> None:
    begun = 0
    third = asyncio.Event()

    async def duty() -> None:
        nonlocal begun
        begun += 1
        if begun < 3:
            raise ZeroDivisionError("nobody thought of this")
        third.set()
        await asyncio.Event().wait()

    with structlog.testing.capture_logs() as logged:
        task = start_duty("alerts", duty, again_after_s=0)
        await asyncio.wait_for(third.wait(), 10)
    assert [(line["event"], line["duty"], line["log_level"]) for line in logged] == [
        ("duty.failed", "alerts", "error")
    ] * 2
    assert all(line["exc_info"] for line in logged)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert begun == 3


async def test_a_duty_that_is_cancelled_is_over() -> None:
    begun: list[int] = []

    async def duty() -> None:
        begun.append(1)
        await asyncio.Event().wait()

    task = start_duty("cuts", duty, again_after_s=0)
    await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert task.cancelled()
    assert begun == [1]
