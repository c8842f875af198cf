"""`python -m mutation [PART…]`: changes each part's modules one place at a time and runs the tests that must notice.

Each change lives in a process of its own, in memory; no file is written.
"""

import argparse
import ast
import contextlib
import importlib.abc
import importlib.machinery
import importlib.util
import os
import random
import resource
import sys
import time
import types
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mutation.changes import Change, changes

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src"
CPU_SECONDS_MAX = 20
FLOOR_PERCENT = 90


@dataclass(frozen=True)
class Part:
    """Modules that decide something together, and the tests that must notice a change, quickest first."""

    modules: str
    tests: tuple[str, ...]
    simulated_runs: int = 0


SIMULATION = "tests/simulation/test_simulation.py"
STOPPED = "test_a_stop_while_an_answer_is_being_paid_for_does_not_say_that_nothing_was_charged"
PARTS = {
    "ledger": Part("tessera/domain/ledger/*.py", ("tests/unit/domain/ledger",), 12),
    "pricing": Part("tessera/domain/pricing/*.py", ("tests/unit/domain/pricing",), 6),
    "usage": Part("tessera/domain/usage.py", ("tests/unit/domain/test_usage.py",), 12),
    "settling": Part(
        "tessera/flows/settling.py",
        ("tests/unit/flows/test_settling.py", f"{SIMULATION}::{STOPPED}"),
        12,
    ),
}


class ChangedModule(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Gives one module its changed text when it is imported."""

    def __init__(self, name: str, tree: ast.Module, path: Path) -> None:
        self._name = name
        self._code = compile(tree, str(path), "exec")
        self._path = path

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != self._name:
            return None
        places = [str(self._path.parent)] if self._path.name == "__init__.py" else None
        return importlib.util.spec_from_file_location(
            fullname, self._path, loader=self, submodule_search_locations=places
        )

    def exec_module(self, module: types.ModuleType) -> None:
        exec(self._code, module.__dict__)


def main() -> int:
    """Tests every change of the parts; 1 if a part is below the floor."""
    parser = argparse.ArgumentParser(prog="python -m mutation", description=__doc__)
    parser.add_argument("part", nargs="*", choices=[*PARTS, []], default=[])
    parser.add_argument("--sample", type=int, help="at most so many changes of each part, drawn by a fixed seed")
    arguments = parser.parse_args()
    warm_up()
    low = [name for name in arguments.part or PARTS if test_part(name, PARTS[name], arguments.sample) < FLOOR_PERCENT]
    if low:
        print(f"below {FLOOR_PERCENT} %: {', '.join(low)}")
    return 1 if low else 0


def warm_up() -> None:
    """Imports what is slow and never changed, once for all processes."""
    for name in ("hypothesis", "msgspec", "structlog", "tiktoken", "starlette.routing", "aiohttp", "pytest", "asyncio"):
        importlib.import_module(name)


def test_part(name: str, part: Part, sample: int | None) -> float:
    """The share of changes, in percent, that tests noticed."""
    found = [
        (path, change)
        for path in sorted(SOURCE.glob(part.modules))
        for change in changes(path.read_text(encoding="utf-8"))
    ]
    if sample is not None and len(found) > sample:
        found = random.Random(1).sample(found, sample)
    untouched = Change(0, "nothing", ast.parse(found[0][0].read_text(encoding="utf-8")))
    if noticed(found[0][0], untouched, part):
        raise SystemExit(f"the tests of {name} fail without any change")
    started = time.monotonic()
    survivors = []
    for number, (path, change) in enumerate(found, 1):
        if not noticed(path, change, part):
            survivors.append((path, change))
            print(f"  survived: {path.relative_to(SOURCE)}:{change.line}: {change.what}", flush=True)
        if sys.stderr.isatty():
            print(f"\r{name}: {number} of {len(found)}", end="", file=sys.stderr, flush=True)
    percent = 100 * (len(found) - len(survivors)) / len(found)
    seconds = time.monotonic() - started
    print(
        f"{name}: {len(found)} changes, {len(survivors)} survived, {percent:.1f} % noticed, {seconds:.0f} s", flush=True
    )
    return percent


def noticed(path: Path, change: Change, part: Part) -> bool:
    """Whether the tests of a part fail with the change made. A change that never ends is noticed."""
    child = os.fork()
    if child == 0:
        with contextlib.suppress(BaseException):
            resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS_MAX, CPU_SECONDS_MAX))
            silence()
            os._exit(0 if run_tests(path, change.tree, part) else 1)
        os._exit(1)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status) != 0


def silence() -> None:
    """The tests' own words are of no interest."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)


def run_tests(path: Path, tree: ast.Module, part: Part) -> bool:
    """Runs a part's tests with a module changed, here: true if all pass."""
    import hypothesis
    import pytest

    # That a change is noticed is enough: the smallest example of it is of no interest.
    hypothesis.settings.register_profile("mutation", phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate])
    hypothesis.settings.load_profile("mutation")
    name = ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__")
    sys.meta_path.insert(0, ChangedModule(name, tree, path))
    if part.tests:
        options = [
            "-x",
            "-q",
            "-p",
            "no:cacheprovider",
            "-p",
            "no:xdist",
            f"--rootdir={ROOT}",
            f"-c{ROOT}/pyproject.toml",
        ]
        if pytest.main([*options, *(str(ROOT / place) for place in part.tests)]) != 0:
            return False
    from simulation.world import Simulation

    return all(Simulation(seed).run().violation is None for seed in range(part.simulated_runs))


if __name__ == "__main__":
    sys.exit(main())
