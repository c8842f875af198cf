"""Inputs kept with the tests: one text file a target, one input a line, in base64 so that no byte is special."""

import base64
from collections.abc import Iterable
from pathlib import Path

FOLDER = Path(__file__).parent / "corpus"
INPUTS_MAX = 150
BYTES_MAX = 60_000


def read(name: str) -> list[bytes]:
    """The kept inputs of a target, first those that once broke it."""
    lines = [line for kind in ("broke", "reached") for line in _lines(FOLDER / f"{name}.{kind}.txt")]
    return [base64.b64decode(line) for line in lines]


def write_reached(name: str, inputs: Iterable[bytes]) -> int:
    """Keeps inputs that reach different code, shortest first, within INPUTS_MAX and BYTES_MAX; returns how many."""
    kept: list[str] = []
    room = BYTES_MAX
    for data in sorted(set(inputs), key=lambda data: (len(data), data)):
        room -= len(data)
        if room < 0 or len(kept) == INPUTS_MAX:
            break
        kept.append(base64.b64encode(data).decode())
    (FOLDER / f"{name}.reached.txt").write_text("".join(line + "\n" for line in kept))
    return len(kept)


def add_broken(name: str, data: bytes) -> None:
    """Keeps an input that broke a target, for good."""
    path = FOLDER / f"{name}.broke.txt"
    line = base64.b64encode(data).decode()
    if line not in _lines(path):
        with path.open("a") as file:
            file.write(line + "\n")


def _lines(path: Path) -> list[str]:
    return path.read_text().split() if path.exists() else []
