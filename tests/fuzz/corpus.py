"""Inputs kept with the tests: one text file a target, one input a line, in base64 so that no byte is special."""

import base64
import sys
from collections.abc import Callable, Iterable
from os import sep
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

FOLDER = Path(__file__).parent / "corpus"
BYTES_MAX = 40_000

Step = tuple[CodeType, int, int]


def read(name: str) -> list[bytes]:
    """The kept inputs of a target, first those that once broke it."""
    lines = [line for kind in ("broke", "reached") for line in _lines(FOLDER / f"{name}.{kind}.txt")]
    return [base64.b64decode(line) for line in lines]


def write_reached(name: str, check: Callable[[bytes], None], inputs: Iterable[bytes]) -> int:
    """Keeps the inputs that reach steps from line to line that no shorter one reached; returns how many."""
    kept: list[str] = []
    known: set[Step] = set()
    room = BYTES_MAX
    for data in sorted(set(inputs), key=lambda data: (len(data), data)):
        reached = _steps(check, data)
        if reached <= known or len(data) > room:
            continue
        known |= reached
        room -= len(data)
        kept.append(base64.b64encode(data).decode())
    (FOLDER / f"{name}.reached.txt").write_text("".join(line + "\n" for line in kept))
    return len(kept)


def _steps(check: Callable[[bytes], None], data: bytes) -> set[Step]:
    """The steps from line to line that Tessera's code takes for an input."""
    steps: set[Step] = set()

    def enter(frame: FrameType, _: str, __: object) -> Any:
        code = frame.f_code
        if f"{sep}tessera{sep}" not in code.co_filename:
            return None
        last = 0

        def step(frame: FrameType, event: str, _: object) -> Any:
            nonlocal last
            if event == "line":
                steps.add((code, last, frame.f_lineno))
                last = frame.f_lineno
            return step

        return step

    sys.settrace(enter)
    try:
        check(data)
    finally:
        sys.settrace(None)
    return steps


def add_broken(name: str, data: bytes) -> None:
    """Keeps an input that broke a target, for good."""
    path = FOLDER / f"{name}.broke.txt"
    line = base64.b64encode(data).decode()
    if line not in _lines(path):
        with path.open("a") as file:
            file.write(line + "\n")


def _lines(path: Path) -> list[str]:
    return path.read_text().split() if path.exists() else []
