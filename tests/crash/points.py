"""The points at which a call can be cut off, and the product's code loaded with a probe at each.

A point is an `await`, an `async for`, an `async with` or a `yield` of the call path, or a step of the ledger's writer:
a call that changes a file, the database, or what another thread sees. Which these are is read from the syntax tree, so
that a new one is a point from the moment it is written.
"""

import ast
import asyncio
import importlib.abc
import importlib.machinery
import os
import signal
import sys
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

SOURCE = Path(__file__).parents[2] / "src"

AWAITS = {
    "tessera.flows.inference": {"_find_repeat", "_with_balance", "_fingerprint"},
    "tessera.flows.serving": set[str](),
    "tessera.flows.leaving": set[str](),
    "tessera.flows.sending": set[str](),
    "tessera.flows.settling": set[str](),
    "tessera.flows.metering": set[str](),
    "tessera.http.openai.calls": {"chat_completions", "responses", "input_tokens"},
    "tessera.http.sse": set[str](),
    "tessera.http.exchange": {
        "Exchange.body",
        "Exchange._read_body",
        "Exchange.reply_json",
        "Exchange.redirect",
    },
    "tessera.adapters.providers.openai.client": {"OpenAIProvider.close"},
    "tessera.adapters.providers.openai.pool": {"PooledConnections.close"},
    "tessera.adapters.providers.openai.wire": set[str](),
    "tessera.adapters.providers.openai.dialling": set[str](),
    "tessera.adapters.storage.ledger.storage": {"*", "LedgerStorage.hold", "LedgerStorage.settle"},
}
"""The modules of the call path, and the functions in them that run before the hold, or when the server ends. With `*`,
only the functions named."""

BEFORE_THE_HOLD = {
    "tessera.flows.quoting",
    "tessera.flows.terms",
    "tessera.flows.volumes",
    "tessera.flows.world",
}
"""Modules of use cases that the call path uses, whose own waits are over when the hold is placed."""

BESIDE_CALLS = {"tessera.flows.usage.live", "tessera.flows.usage.following"}
"""Modules that calls tell what happens, without waiting; whoever listens waits for it in a request of its own."""

BEGINS = {"infer": "await _place(", "_place": "storage.hold(", "_call": "infer("}
"""In these functions the call path begins at the line with this text; what stands above it comes before the hold."""

STEPS = {
    "tessera.adapters.storage.ledger.writer": {"Writer.close", "Writer.ended", "Writer.start"},
    "tessera.adapters.storage.ledger.committer": {"Committer.change", "Committer.close"},
    "tessera.adapters.storage.sqlite.committer": {"SqliteCommitter.look"},
    "tessera.adapters.storage.ledger.group": {"expire_credit"},
    "tessera.adapters.storage.ledger.books": set[str](),
    "tessera.adapters.storage.sqlite.books": set[str](),
    "tessera.adapters.storage.ledger.losses": {"forgive", "list_losses", "loss_faults"},
    "tessera.adapters.storage.ledger.outbox": {"Outbox.prepare"},
    "tessera.adapters.storage.ledger.lease": {"is_alive", "remove_lease", "Lease.drop"},
}
"""The modules of the ledger's writer, and the functions in them that run when it starts or ends, on behalf of an
operator, or in the sweep of another process's holds."""

_EFFECTS = {"execute", "executemany", "commit", "rollback", "write", "flush", "fsync", "unlink", "open", "mkdir"}
_EFFECTS |= {"rename", "flock", "put", "call_soon_threadsafe", "set_result", "set_exception"}


@dataclass(frozen=True)
class Point:
    """One place in the source. `step` says that it is one of the ledger's writer."""

    name: str
    step: bool


class Probe:
    """What the points report to, in this process."""

    def __init__(self) -> None:
        self.reached: set[str] = set()
        self.suspended: set[str] = set()
        self.kill_at: tuple[str, str] | None = None
        self.cancel_at: str | None = None
        self.cancel: Callable[[], None] | None = None
        self.fired = False
        self.leaves = ""
        self.left = True
        self.heard: Callable[[str], None] | None = None

    def arrive(self, point: str) -> bool:
        """A point is about to be passed."""
        self.reached.add(point)
        if self.heard is not None:
            self.heard(point)
        if self.kill_at == (point, "before"):
            os.kill(os.getpid(), signal.SIGKILL)
        return True

    def leave(self, point: str, result: Any) -> Any:
        """A step was taken."""
        if self.kill_at == (point, "after"):
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    def suspend(self, point: str) -> None:
        """The call waits at a point: it is cancelled there when that was asked for."""
        self.suspended.add(point)
        if not self.left and point.startswith(self.leaves) and self.cancel is not None:
            self.left = True
            asyncio.get_running_loop().call_soon(self.cancel)
        if self.cancel_at == point and self.cancel is not None and not self.fired:
            self.fired = True
            # Runs before anything the wait is for, so that the cancellation arrives exactly here.
            asyncio.get_running_loop().call_soon(self.cancel)

    def give(self, point: str, value: Any) -> Any:
        """A generator hands a value out and waits there."""
        self.arrive(point)
        self.suspend(point)
        return value


PROBE = Probe()


class At:
    """An awaitable with a probe: every time it really waits, the probe hears of it."""

    def __init__(self, point: str, awaitable: Any) -> None:
        self._point = point
        self._awaitable = awaitable

    def __await__(self) -> Generator[Any, Any, Any]:
        PROBE.arrive(self._point)
        inner = self._awaitable.__await__()
        send: Callable[[], Any] = lambda: inner.send(None)  # noqa: E731
        while True:
            try:
                waited_for = send()
            except StopIteration as stop:
                return stop.value
            PROBE.suspend(self._point)
            try:
                value = yield waited_for
                send = lambda value=value: inner.send(value)  # noqa: E731
            except BaseException as error:
                send = lambda error=error: inner.throw(error)  # noqa: E731


class Each:
    """What an `async for` runs over, with a probe."""

    def __init__(self, point: str, iterable: Any) -> None:
        self._point = point
        self._iterator = aiter(iterable)

    def __aiter__(self) -> "Each":
        return self

    def __anext__(self) -> At:
        return At(self._point, self._iterator.__anext__())


class Within:
    """What an `async with` enters, with a probe."""

    def __init__(self, point: str, manager: Any) -> None:
        self._point = point
        self._manager = manager

    def __aenter__(self) -> At:
        return At(self._point, self._manager.__aenter__())

    def __aexit__(self, *failure: Any) -> At:
        return At(self._point, self._manager.__aexit__(*failure))


@dataclass
class _Rewriter(ast.NodeTransformer):
    """Puts a probe at every point of one module."""

    module: str
    lines: list[str]
    names: list[str] = field(default_factory=list)
    begin: int = 0
    asynchronous: bool = False
    points: list[Point] = field(default_factory=list)
    seen: dict[str, int] = field(default_factory=dict)

    def _inside(self, node: Any) -> Any:
        before = (self.begin, self.asynchronous)
        self.names.append(node.name)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            self.asynchronous = isinstance(node, ast.AsyncFunctionDef)
            if node.name in BEGINS and len(self.names) == 1:
                body = range(node.lineno, node.end_lineno or node.lineno)
                self.begin = next(number for number in body if BEGINS[node.name] in self.lines[number - 1])
        node = self.generic_visit(node)
        self.names.pop()
        self.begin, self.asynchronous = before
        return node

    visit_ClassDef = visit_FunctionDef = visit_AsyncFunctionDef = _inside  # noqa: N815

    def _point(self, node: Any, text: str, *, step: bool) -> str | None:
        """The name of a point, or None where the call path does not go."""
        chosen = (STEPS if step else AWAITS).get(self.module)
        place = ".".join(self.names)
        if chosen is None or not self.names or node.lineno < self.begin:
            return None
        listed = place in chosen
        if listed != ("*" in chosen):
            return None
        name = f"{self.module.rpartition('.')[2]}.{place}: {text[:70]}"
        self.seen[name] = self.seen.get(name, 0) + 1
        if self.seen[name] > 1:
            name += f" #{self.seen[name]}"
        self.points.append(Point(name, step))
        return name

    def visit_Await(self, node: ast.Await) -> Any:
        name = self._point(node, ast.unparse(node), step=False)
        self.generic_visit(node)
        if name is not None:
            node.value = _call("__at__", name, node.value)
        return node

    def visit_AsyncFor(self, node: ast.AsyncFor) -> Any:
        name = self._point(node, f"async for {ast.unparse(node.target)} in {ast.unparse(node.iter)}", step=False)
        self.generic_visit(node)
        if name is not None:
            node.iter = _call("__each__", name, node.iter)
        return node

    def visit_AsyncWith(self, node: ast.AsyncWith) -> Any:
        for item in node.items:
            name = self._point(node, f"async with {ast.unparse(item.context_expr)}", step=False)
            if name is not None:
                item.context_expr = _call("__within__", name, item.context_expr)
        return self.generic_visit(node)

    def visit_Yield(self, node: ast.Yield) -> Any:
        name = self._point(node, ast.unparse(node), step=False) if self.asynchronous else None
        self.generic_visit(node)
        if name is not None:
            node.value = _call("__give__", name, node.value or ast.Constant(None))
        return node

    def visit_comprehension(self, node: ast.comprehension) -> Any:
        assert not node.is_async, f"{self.module}: an asynchronous comprehension has no probe yet"
        return self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> Any:
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        name = self._point(node, ast.unparse(node), step=True) if called in _EFFECTS else None
        self.generic_visit(node)
        if name is None:
            return node
        guarded = ast.IfExp(_call("__arrive__", name), node, ast.Constant(None))
        return _call("__leave__", name, guarded)


def _call(function: str, point: str, *arguments: ast.expr) -> ast.Call:
    return ast.Call(ast.Name(function, ast.Load()), [ast.Constant(point), *arguments], [])


def _rewritten(module: str, source: str, path: str) -> tuple[CodeType, list[Point]]:
    rewriter = _Rewriter(module, source.splitlines())
    tree = ast.fix_missing_locations(rewriter.visit(ast.parse(source)))
    return compile(tree, path, "exec", dont_inherit=True), rewriter.points


@cache
def all_points() -> list[Point]:
    """Every point of the call path, in the order of the source.

    To be read first before anything runs: after calls were cut off, CPython 3.11's parser can miscount how deep it is.
    """
    found: list[Point] = []
    for module in sorted({*AWAITS, *STEPS}):
        path = SOURCE / (module.replace(".", "/") + ".py")
        found += _rewritten(module, path.read_text("utf-8"), str(path))[1]
    return found


def modules_of_use_cases(module: str = "tessera.flows.inference") -> set[str]:
    """A module of `tessera.flows` and those of them it imports, over any number of steps."""
    found = {module}
    path = SOURCE / (module.replace(".", "/") + ".py")
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("tessera.flows."):
            found |= modules_of_use_cases(node.module or "")
    return found


class _Loader(importlib.machinery.SourceFileLoader):
    def get_code(self, fullname: str) -> CodeType:
        return _rewritten(fullname, self.get_data(self.path).decode(), self.path)[0]

    def exec_module(self, module: ModuleType) -> None:
        probes = {"__at__": At, "__each__": Each, "__within__": Within, "__give__": PROBE.give}
        module.__dict__.update(probes, __arrive__=PROBE.arrive, __leave__=PROBE.leave)
        super().exec_module(module)


class _Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, fullname: str, path: Any, target: Any = None) -> Any:
        if fullname not in AWAITS and fullname not in STEPS:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path)
        assert spec is not None
        assert spec.origin is not None
        spec.loader = _Loader(fullname, spec.origin)
        return spec


def install() -> None:
    """From now on, this process loads the call path with its probes. Before anything of it is imported."""
    early = [module for module in {*AWAITS, *STEPS} if module in sys.modules]
    assert not early, f"already imported: {early}"
    sys.meta_path.insert(0, _Finder())
