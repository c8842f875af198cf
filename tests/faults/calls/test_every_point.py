"""A call cut off at any await, yield or durable step between hold and settle: its money is resolved once.

The points are read from the source; one that no scene of `tests/crash` passes fails the run.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from crash.points import AWAITS, BEFORE_THE_HOLD, BESIDE_CALLS, modules_of_use_cases

TESTS = Path(__file__).parents[2]


def cut_off(how: str, *defects: str) -> dict[str, Any]:
    """What `python -m crash` found."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(TESTS), os.environ.get("PYTHONPATH", "")))}
    command = [sys.executable, "-m", "crash", how, *defects]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=280)
    assert done.returncode == 0, done.stderr[-4000:]
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_every_use_case_a_call_goes_through_is_read() -> None:
    known = AWAITS.keys() | BEFORE_THE_HOLD | BESIDE_CALLS
    assert modules_of_use_cases() <= known, "name it in AWAITS of tests/crash/points.py"


def test_f14_a_call_cancelled_at_any_point_is_resolved_once() -> None:
    found = cut_off("cancel")
    assert found["points"] > 80
    assert found["unreached"] == [], "no scene of tests/crash/scenes.py passes here: add one"
    assert found["unfired"] == []
    assert found["problems"] == []
    assert len(found["cut"]) + len(found["never_waits"]) == found["points"]
    assert len(found["never_waits"]) < 10


def test_f21_a_server_killed_at_any_point_leaves_money_that_the_next_start_resolves_once() -> None:
    found = cut_off("kill")
    assert found["points"] > 120
    assert found["unreached"] == [], "no scene of tests/crash/scenes.py passes here: add one"
    assert found["unfired"] == []
    assert found["problems"] == []
    assert len(found["cut"]) == found["points"]


def test_a_settlement_that_is_forgotten_when_a_client_leaves_is_found() -> None:
    found = cut_off("cancel", "forgotten settlement")
    assert any("the hold is open" in problem for problem in found["problems"])


def test_a_point_that_nothing_passes_is_found() -> None:
    assert any("LiveStream.chunks" in name for name in cut_off("cancel", "one scene")["unreached"])
