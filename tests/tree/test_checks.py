"""The checks of style, types and floors run with the tests: a tree that breaks them does not pass."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent


def run(*command: str) -> None:
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, f"{' '.join(command)}\n{result.stdout}\n{result.stderr}"


def test_the_code_follows_its_style() -> None:
    run(str(BIN / "ruff"), "check", "--no-cache", ".")


def test_the_code_is_formatted() -> None:
    run(str(BIN / "ruff"), "format", "--no-cache", "--check", ".")


@pytest.mark.timeout(400)
def test_the_types_agree() -> None:
    run(sys.executable, "-m", "mypy", "--cache-dir", os.devnull)


def test_no_floor_imports_from_above_itself() -> None:
    run(str(BIN / "lint-imports"), "--no-cache")
