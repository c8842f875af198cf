"""`python -m simulation --seed N` replays one run; `--runs N` plays many."""

import argparse
import contextlib
import sys
import time
from collections import Counter
from collections.abc import Iterator

from postgres_server import running_postgres
from simulation.engine import Engine, SqliteEngine
from simulation.postgres_engine import PostgresEngine
from simulation.world import Outcome, Simulation


def main() -> int:
    """Plays runs; 1 if an invariant broke or a kind of fault never fired."""
    parser = argparse.ArgumentParser(prog="python -m simulation", description=__doc__)
    parser.add_argument("--seed", type=int, help="replay this one run, and print its trace")
    parser.add_argument("--runs", type=int, default=300)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--engine", choices=("sqlite", "postgres"), default="sqlite")
    arguments = parser.parse_args()
    with engine_of(arguments.engine) as engine:
        if arguments.seed is None:
            return play(arguments.first, arguments.runs, engine)
        outcome = Simulation(arguments.seed, engine=engine).run()
        print("\n".join(outcome.log))
        print(describe(outcome))
        return 1 if outcome.violation else 0


@contextlib.contextmanager
def engine_of(name: str) -> Iterator[Engine]:
    """The database to play on; a PostgreSQL is started for it."""
    if name == "sqlite":
        yield SqliteEngine()
        return
    with running_postgres() as server:
        yield PostgresEngine(server)


def play(first: int, runs: int, engine: Engine) -> int:
    """Plays runs one after the other and prints what they came to."""
    fired: Counter[str] = Counter()
    steps = checks = calls = charged = 0
    broken: list[Outcome] = []
    started = time.monotonic()
    for seed in range(first, first + runs):
        outcome = Simulation(seed, engine=engine).run()
        fired.update(outcome.fired)
        steps, checks = steps + outcome.steps, checks + outcome.checks
        calls, charged = calls + outcome.calls, charged + outcome.charged
        if outcome.violation:
            broken.append(outcome)
            print(describe(outcome), flush=True)
        if sys.stderr.isatty() and seed % 20 == 0:
            print(f"\r{seed - first + 1} of {runs} runs", end="", file=sys.stderr, flush=True)
    seconds = time.monotonic() - started
    print(f"{runs} runs (seeds {first} to {first + runs - 1}) in {seconds:.0f} s, {len(broken)} with a violation")
    print(f"{steps} steps, {checks} checks after commits, {calls} calls, {charged} charged")
    for kind in sorted(engine.faults):
        print(f"{fired[kind]:8d}  {kind}")
    missing = sorted(kind for kind in engine.faults if not fired[kind])
    if missing:
        print(f"never fired: {', '.join(missing)}")
    return 1 if broken or missing else 0


def describe(outcome: Outcome) -> str:
    """One run in a few words, with what replays it."""
    head = f"seed {outcome.seed}: {outcome.steps} steps, {outcome.calls} calls, trace {outcome.trace[:16]}"
    if outcome.violation is None:
        return f"{head}: nothing broken"
    replay = f"PYTHONPATH=tests python -m simulation --engine {outcome.engine} --seed {outcome.seed}"
    return f"{head}\n  VIOLATION {outcome.violation}\n  replay: {replay}"


if __name__ == "__main__":
    sys.exit(main())
