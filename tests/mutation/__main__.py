"""`python -m mutation [PART…]`: changes each part's modules one place at a time and runs the tests that must notice."""

import argparse
import os
import random
import sys
import time

from mutation.changes import changes
from mutation.running import SOURCE, Part, named, run_trial

FLOOR_PERCENT = 90
SIMULATION = "tests/simulation/test_simulation.py"
STOPPED = "test_a_stop_while_an_answer_is_being_paid_for_does_not_say_that_nothing_was_charged"
_STORED = "tests/contract/storage/test_{}.py"
_FAULTS = "tests/faults/storage/test_{}.py"
PARTS = {
    "ledger": Part(("tessera/domain/ledger/*.py",), ("tests/unit/domain/ledger",), 12),
    "pricing": Part(("tessera/domain/pricing/*.py",), ("tests/unit/domain/pricing",), 6),
    "usage": Part(("tessera/domain/usage.py",), ("tests/unit/domain/test_usage.py",), 12),
    "settling": Part(
        ("tessera/flows/settling.py",),
        ("tests/unit/flows/test_settling.py", "tests/unit/flows/test_settling_once.py", f"{SIMULATION}::{STOPPED}"),
        12,
    ),
    "quoting": Part(("tessera/flows/quoting.py",), ("tests/unit/flows/test_quoting.py",), 6),
    "deciding": Part(
        ("tessera/adapters/storage/ledger/group.py",),
        (
            *map(_STORED.format, ("holding", "settling", "limits", "losses", "idempotency_keys", "usage", "accounts")),
            *map(_STORED.format, ("movements", "key_rules")),
            *map(_FAULTS.format, ("sweeper", "outbox", "nowhere_durable", "cancelled_holds", "reconciliation")),
            *map(_FAULTS.format, ("statements", "tampering")),
        ),
        12,
    ),
    "counting": Part(
        tuple(f"tessera/adapters/storage/ledger/{name}.py" for name in ("meters", "usage_sums", "losses")),
        (
            *map(_STORED.format, ("limits", "days_and_months", "losses", "holding", "settling", "usage", "key_rules")),
            *map(_STORED.format, ("one_group", "movements", "rotated_keys", "volumes", "lists")),
            *map(_FAULTS.format, ("tampering", "outbox", "statements")),
        ),
        12,
    ),
    "terms": Part(("tessera/flows/terms.py",), ("tests/unit/flows/test_terms.py",), 6),
}


def main() -> int:
    """Tests every change of the parts; 1 if a part is below the floor."""
    parser = argparse.ArgumentParser(prog="python -m mutation", description=__doc__)
    parser.add_argument("part", nargs="*", choices=[*PARTS, []], default=[])
    parser.add_argument("--sample", type=int, help="at most so many changes of each part, drawn by a fixed seed")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="how many changes are tested at once")
    arguments = parser.parse_args()
    low = [
        name
        for name in arguments.part or PARTS
        if test_part(name, PARTS[name], arguments.sample, arguments.jobs) < FLOOR_PERCENT
    ]
    if low:
        print(f"below {FLOOR_PERCENT} %: {', '.join(low)}")
    return 1 if low else 0


def test_part(name: str, part: Part, sample: int | None, jobs: int) -> float:
    """The share of changes, in percent, that tests noticed."""
    found = [
        (path, change)
        for modules in part.modules
        for path in sorted(SOURCE.glob(modules))
        for change in changes(path.read_text(encoding="utf-8"))
    ]
    if sample is not None and len(found) > sample:
        found = random.Random(1).sample(found, sample)
    started = time.monotonic()
    trial = run_trial(part, found, jobs)
    seconds = time.monotonic() - started
    if trial.failed:
        raise SystemExit(f"the tests of {name} fail without any change")
    for place in trial.endless:
        print(f"  never ended: {named(place)}")
    survived = len(trial.survived)
    percent = 100 * (len(found) - survived) / len(found)
    print(f"{name}: {len(found)} changes, {survived} survived, {percent:.1f} % noticed, {seconds:.0f} s", flush=True)
    return percent


if __name__ == "__main__":
    sys.exit(main())
