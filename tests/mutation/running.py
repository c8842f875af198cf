"""Runs tests against changes: each change in a process of its own, in memory; no file is written.

The tests are collected once, and run once to learn which functions each of them calls: a change inside a function is
noticed by one of its callers or by none. It is made by giving that function the changed code; one outside of all
functions (a constant, a default, a field) by importing everything again from the changed text.
"""

import ast
import gc
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import inspect
import json
import os
import resource
import signal
import sys
import threading
import time
import types
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import hypothesis
import pytest

from mutation.changes import Change

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src"
CPU_SECONDS_MAX = 10
"""For one test. What needs more never ends."""
CPU_SECONDS_MAX_ALL = 120
"""For all tests together, and for simulations."""
SECONDS_MAX = 1200
PROFILE = "mutation"
EXAMPLES = 50
SURVIVED = -1
ELSEWHERE = -2
"""Noticed by a simulation, or when everything was imported again."""

Place = tuple[Path, Change]
"""A module and one change of it."""

# That a change is noticed is enough: the smallest example of it is of no interest. The same examples each time.
hypothesis.settings.register_profile(
    PROFILE,
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
    phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate],
    derandomize=True,
    database=None,
)


@dataclass(frozen=True)
class Part:
    """Modules that decide something together, and the tests that must notice a change, quickest first."""

    modules: tuple[str, ...]
    tests: tuple[str, ...]
    simulated_runs: int = 0


class Trial:
    """What pytest is given in place of its loop over the tests: a loop over the changes, each of which runs the tests.

    `failed` says that the tests fail without any change. `survived` are the changes no test noticed, `endless` those
    whose tests never ended, which counts as noticed.
    """

    def __init__(self, part: Part, places: Sequence[Place], jobs: int) -> None:
        self._part = part
        self._places = places
        self._jobs = jobs
        self._callers: dict[str, set[int]] = {}
        self._first: list[int] = []
        self.failed = False
        self.survived: list[Place] = []
        self.endless: list[Place] = []

    @pytest.fixture(scope="session")
    def anyio_backend(self) -> str:
        """The one fixture of `tests/conftest.py` that is needed here; the rest of it starts servers."""
        return "asyncio"

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Tests every change, a few at once."""
        importlib.import_module("simulation.world")
        gc.freeze()
        child, answer = in_child(lambda: callers_of(session, {module_of(path) for path, _ in self._places}))
        found = json.loads(answer.read() or "null")
        os.waitpid(child, 0)
        if found is None:
            self.failed = True
            return True
        self._callers = {name: set(callers) for name, callers in found.items()}
        waiting, running = deque(self._places), dict[int, tuple[Place, TextIO]]()
        while waiting or running:
            while waiting and len(running) < self._jobs:
                path, change = waiting.popleft()
                child, answer = in_child(lambda: self._noticed_by(session, path, change))  # noqa: B023
                running[child] = ((path, change), answer)
            child, status = os.wait()
            self._ended(*running.pop(child), os.waitstatus_to_exitcode(status))
            if sys.stderr.isatty():
                print(f"\r{len(self._places) - len(waiting)} of {len(self._places)}", end="", file=sys.stderr)
        return True

    def _ended(self, place: Place, answer: TextIO, code: int) -> None:
        said = answer.read()
        answer.close()
        if code != 0:
            self.endless.append(place)
            return
        if not said:
            raise RuntimeError(f"testing a change ended without an answer: {named(place)}")
        noticed_by = json.loads(said)
        if noticed_by == SURVIVED:
            self.survived.append(place)
            print(f"  survived: {named(place)}", flush=True)
        elif noticed_by != ELSEWHERE:
            # Who noticed one change is likely to notice the next.
            self._first = [noticed_by, *(index for index in self._first if index != noticed_by)]

    def _noticed_by(self, session: pytest.Session, path: Path, change: Change) -> int:
        """The place of the test that notices a change, or `ELSEWHERE`, or `SURVIVED`."""
        module = sys.modules[module_of(path)]
        changed = change_functions(module, change.tree, path)
        if not changed and not run_imported_again(self._part, module.__name__, change.tree, path):
            return ELSEWHERE
        order = [*self._first, *(index for index in range(len(session.items)) if index not in self._first)]
        callers = set[int]().union(*(self._callers[name] for name in changed))
        for index in order:
            allow(CPU_SECONDS_MAX)
            if index in callers and not passes(session, index):
                return index
        return SURVIVED if simulate(self._part) else ELSEWHERE


def in_child(work: Callable[[], object]) -> tuple[int, TextIO]:
    """Does something in a process of its own, which writes what it comes to as JSON."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            allow(CPU_SECONDS_MAX_ALL)
            signal.alarm(SECONDS_MAX)
            silence()
            with os.fdopen(writing, "w") as answer:
                json.dump(work(), answer)
        finally:
            os._exit(0)
    os.close(writing)
    return child, os.fdopen(reading)


def allow(seconds: int) -> None:
    """Lets this process use so much of the processor from now on."""
    resource.setrlimit(resource.RLIMIT_CPU, (int(time.process_time()) + seconds + 1, resource.RLIM_INFINITY))


def passes(session: pytest.Session, index: int) -> bool:
    """Runs one of the collected tests."""
    item, failed = session.items[index], session.testsfailed
    item.config.hook.pytest_runtest_protocol(item=item, nextitem=None)
    return session.testsfailed == failed


def callers_of(session: pytest.Session, modules: set[str]) -> dict[str, list[int]] | None:
    """For each function of some modules, the places of the tests that call it; None if a test fails."""
    functions = {id(one.__code__): key(one) for name in modules for one in functions_of(sys.modules[name])}
    found: dict[str, list[int]] = {name: [] for name in functions.values()}
    called: set[int] = set()

    def note(frame: types.FrameType, event: str, _argument: object) -> None:
        if event == "call":
            called.add(id(frame.f_code))

    threading.setprofile(note)
    for index in range(len(session.items)):
        called.clear()
        sys.setprofile(note)
        passed = passes(session, index)
        sys.setprofile(None)
        if not passed:
            return None
        for code in called & functions.keys():
            found[functions[code]].append(index)
    return found


def named(place: Place) -> str:
    """Where a change is, and what it is."""
    path, change = place
    return f"{path.relative_to(SOURCE)}:{change.line}: {change.what}"


def run_trial(part: Part, places: Sequence[Place], jobs: int) -> Trial:
    """Tests changes of a part. Raises RuntimeError if that breaks off."""
    trial = Trial(part, places, jobs)
    if not run_pytest(part, trial):
        raise RuntimeError("not every change was tested")
    return trial


def run_pytest(part: Part, plugin: object) -> bool:
    """Collects a part's tests and runs them, or what the plugin puts in their place, until the first that fails. Of
    tests on both engines only the embedded one's: changed processes cannot share a server."""
    options = ["-x", "-s", "--timeout=0", "--assert=plain", "-pno:cacheprovider", "-pno:terminal", "-oaddopts="]
    options += ["-k", "not postgres"]
    places = [
        "--import-mode=importlib",
        f"--rootdir={ROOT}",
        f"-c{ROOT}/pyproject.toml",
        f"--confcutdir={ROOT}/{'/'.join(Path(part.tests[0]).parts[:2])}",
    ]
    tests = [str(ROOT / place) for place in part.tests]
    return pytest.main([*options, f"--hypothesis-profile={PROFILE}", *places, *tests], plugins=[plugin]) == 0


def silence() -> None:
    """The tests' own words are of no interest."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)


def change_functions(module: types.ModuleType, tree: ast.Module, path: Path) -> list[str]:
    """Gives the function that a change is in its changed code; says which, or nothing where it is in none."""
    new = {code.co_qualname: code for code in codes_in(compile(tree, str(path), "exec"))}
    old = {code.co_qualname: code for code in codes_in(compile(path.read_text("utf-8"), str(path), "exec"))}
    changed = [one for one in functions_of(module) if new.get(one.__qualname__) != old.get(one.__qualname__)]
    for function in changed:
        function.__code__ = new[function.__qualname__]
    return [key(function) for function in changed]


def key(function: types.FunctionType) -> str:
    """What a function is called in all modules together."""
    return f"{function.__module__}:{function.__qualname__}"


def module_of(path: Path) -> str:
    """The name a module is imported by."""
    return ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__")


def codes_in(code: types.CodeType) -> Iterator[types.CodeType]:
    """The code of every function in some code."""
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield constant
            yield from codes_in(constant)


def functions_of(module: types.ModuleType) -> Iterator[types.FunctionType]:
    """The functions a module defines, those of its classes among them."""
    for value in list(vars(module).values()):
        for one in list(vars(value).values()) if isinstance(value, type) else [value]:
            function = inspect.unwrap(getattr(one, "fget", None) or getattr(one, "__func__", None) or one)
            if isinstance(function, types.FunctionType) and function.__module__ == module.__name__:
                yield function


def run_imported_again(part: Part, name: str, tree: ast.Module, path: Path) -> bool:
    """Runs the tests with everything imported again, a module from its changed text."""
    for known, module in list(sys.modules.items()):
        file = Path(getattr(module, "__file__", None) or os.devnull)
        if file.is_relative_to(SOURCE) or (file.is_relative_to(ROOT / "tests") and not known.startswith("mutation")):
            del sys.modules[known]
    sys.meta_path.insert(0, ChangedModule(name, tree, path))
    return run_pytest(part, Again(path.stem))


def simulate(part: Part) -> bool:
    """Whether short simulations find nothing, nor break."""
    simulation = importlib.import_module("simulation.world").Simulation
    allow(CPU_SECONDS_MAX_ALL)
    try:
        return all(simulation(seed).run().violation is None for seed in range(part.simulated_runs))
    except Exception:
        return False


class Again:
    """Runs the tests of the file named after the changed module first: they notice most of it."""

    anyio_backend = Trial.anyio_backend

    def __init__(self, module: str) -> None:
        self._file = f"test_{module}.py"

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Puts them first."""
        items.sort(key=lambda item: item.path.name != self._file)


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
