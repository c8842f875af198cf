"""`python -m fuzz [TARGET…] --seconds N`: fuzzes each target for so long and prints what came of it.

`--replay FILE TARGET` runs one input alone; `--keep` puts what was learnt into tests/fuzz/corpus.
"""

import argparse
import base64
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from fuzz import corpus
from fuzz.targets import TARGETS, target

ROOT = Path(__file__).parents[2]
LEARNT = ROOT / ".fuzz"
INPUT_BYTES_MAX = 8192
SECONDS_AN_INPUT_MAX = 10
MEMORY_MB_MAX = 1500


def main() -> int:
    """Fuzzes; 1 if anything broke."""
    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__)
    parser.add_argument("target", nargs="*", choices=[*TARGETS, []], default=[])
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    parser.add_argument("--replay", type=Path, help="run this one input, without instruments")
    parser.add_argument("--keep", action="store_true", help="keep what was learnt with the tests")
    arguments = parser.parse_args()
    names = arguments.target or TARGETS
    if arguments.replay is not None:
        for name in names:
            target(name).check(arguments.replay.read_bytes())
        return 0
    print(f"{'target':<15}{'executions':>12}{'seconds':>9}{'a second':>10}{'edges':>8}{'inputs':>8}  outcome")
    broken = [name for name in names if not fuzz(name, arguments.seconds, keep=arguments.keep)]
    return 1 if broken else 0


def fuzz(name: str, seconds: int, *, keep: bool) -> bool:
    """Fuzzes one target and prints its line; whether nothing broke."""
    folder = LEARNT / name
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        start = Path(temporary) / "start"
        start.mkdir()
        module = target(name)
        for number, data in enumerate([*module.seeds(), *corpus.read(name)]):
            (start / f"{number:05d}").write_bytes(data)
        words = Path(temporary) / "words"
        words.write_text("".join(f'"{_escaped(word)}"\n' for word in module.WORDS))
        options = [f"-dict={words}", f"-max_total_time={seconds}", f"-timeout={SECONDS_AN_INPUT_MAX}"]
        options += [f"-max_len={INPUT_BYTES_MAX}", f"-rss_limit_mb={MEMORY_MB_MAX}", "-print_final_stats=1"]
        options += [f"-artifact_prefix={LEARNT}/{name}-"]
        began = time.monotonic()
        done = _run(name, str(folder), str(start), *options)
        took = time.monotonic() - began
        if keep and done.returncode == 0:
            corpus.write_reached(name, module.check, [path.read_bytes() for path in folder.iterdir()])
    said = done.stderr.decode("utf-8", "replace")
    executions = int(_last(r"stat::number_of_executed_units:\s*(\d+)", said) or _last(r"#(\d+)\s", said) or 0)
    edges = _last(r"cov: (\d+)", said) or "?"
    inputs = len(list(folder.iterdir()))
    outcome = "nothing broke" if done.returncode == 0 else "BROKE"
    print(
        f"{name:<15}{executions:>12}{took:>9.0f}{executions / took:>10.0f}{edges:>8}{inputs:>8}  {outcome}", flush=True
    )
    if done.returncode != 0:
        _report(name, done.stdout.decode("utf-8", "replace") + said)
    return done.returncode == 0


def _run(name: str, *arguments: str) -> "subprocess.CompletedProcess[bytes]":
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "tests")}
    return subprocess.run(
        [sys.executable, "-m", "fuzz.one", name, *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        check=False,
    )


def _report(name: str, said: str) -> None:
    """What broke, the input that broke it, and how to see it again."""
    raised = re.search(r"=== Uncaught Python exception: ===\n(.*?)\n\n", said, re.DOTALL)
    print(raised[1] if raised else said[-3000:])
    artifact = _last(r"Test unit written to (\S+)", said)
    if artifact is None:
        print(said[-2000:])
        return
    path = Path(artifact)
    print(f"input, in base64: {base64.b64encode(path.read_bytes()).decode()}")
    print(f"again: PYTHONPATH=tests .venv/bin/python -m fuzz {name} --replay {path.relative_to(ROOT)}")
    corpus.add_broken(name, path.read_bytes())
    print(f"It is in tests/fuzz/corpus/{name}.broke.txt now: the tests fail until it is mended.")


def _last(pattern: str, text: str) -> str | None:
    found = re.findall(pattern, text)
    return found[-1] if found else None


def _escaped(word: bytes) -> str:
    """As libFuzzer's dictionaries have it."""
    return "".join(chr(byte) if 32 <= byte < 127 and byte not in b'"\\' else f"\\x{byte:02x}" for byte in word)


if __name__ == "__main__":
    sys.exit(main())
