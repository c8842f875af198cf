"""How many size lines a second `tessera quote --jsonl` answers on one core.

Run `python benchmarks/quote_lines.py [LINES]`: it writes that many lines of random sizes (so that no size repeats often
enough to help), for one model and for a mix of models, runs the real command on each three times with its input from a
file, and prints the median of lines a second of CPU time, start-up included.
"""

import json
import random
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

MIXES = {
    "gpt-5.2-pro": ("gpt-5.2-pro",),
    "gpt-4o": ("gpt-4o",),
    "mixed": ("gpt-5.2-pro", "gpt-4.1-mini", "gpt-4o", "gpt-5.4", "claude-opus-4-7", "gemini-2.5-pro"),
}
RUNS = 3


def main() -> None:
    """Prints one line a mix."""
    lines = int(sys.argv[1]) if len(sys.argv) > 1 else 200_000
    with tempfile.TemporaryDirectory() as folder:
        for name, models in MIXES.items():
            source = Path(folder) / "lines.jsonl"
            source.write_bytes(b"".join(_line(models) for _ in range(lines)))
            speeds = [lines / _cpu_seconds(source, lines) for _ in range(RUNS)]
            print(f"{name}: {statistics.median(speeds):,.0f} lines/s of CPU time (median of {RUNS}, {lines:,} lines)")


def _line(models: tuple[str, ...]) -> bytes:
    size = {"width": random.randint(16, 6000), "height": random.randint(16, 6000)}
    return json.dumps({"model": random.choice(models), **size, "detail": "auto"}).encode() + b"\n"


def _cpu_seconds(source: Path, lines: int) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-m", "tessera", "quote", "--jsonl", str(source)], check=True, capture_output=True
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    answered = done.stdout.count(b"\n")
    if answered != lines:
        raise SystemExit(f"{answered} answers to {lines} lines")
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    main()
