"""The shape of the tree: sizes, names, and what never stands in a tracked file."""

import ast
import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LINES_MAX = 400
FUNCTION_LINES_MAX = 70
EMPTY_NAMES = {"utils", "util", "helpers", "helper", "common", "misc", "base", "core", "manager"}

# Paths that exist only on the machine a file was written on. In pieces, so that this file does not find itself.
MACHINE_PATH = re.compile(r"(?:^|[^A-Za-z0-9_.])/(?:" + "|".join(("work", "farm", "root/", "home/[a-z]+/")) + r")/")
# Hosts of package registries: what is installed is named by version and hash, never by where it came from.
REGISTRY = re.compile("|".join((r"pypi\.(?:org|python)", r"pythonhosted\.", r"registry\.npm", r"deb\.debian\.")))


@cache
def tracked() -> tuple[Path, ...]:
    """Every file of the tree: tracked, or new and not ignored."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    paths = (ROOT / name for name in listed.stdout.decode().split("\0") if name)
    return tuple(path for path in paths if path.is_file())


def texts() -> Iterator[tuple[Path, str]]:
    for path in tracked():
        content = path.read_bytes()
        if b"\0" not in content[:8192]:
            yield path.relative_to(ROOT), content.decode("utf-8")


def python_files(folder: str) -> list[Path]:
    return [path for path in tracked() if path.suffix == ".py" and path.is_relative_to(ROOT / folder)]


def test_the_tree_is_found() -> None:
    assert len(python_files("src")) > 50


def test_no_file_is_so_long_that_a_room_is_missing() -> None:
    long = {
        path.name: count for path in python_files("src") if (count := len(path.read_text().splitlines())) > LINES_MAX
    }
    assert not long


def test_no_function_is_longer_than_a_screen() -> None:
    long = []
    for path in python_files("src"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > FUNCTION_LINES_MAX:
                    long.append(f"{path.relative_to(ROOT)}:{node.lineno} {node.name} has {lines} lines")
    assert not long


def test_every_file_has_a_name_that_says_what_it_is() -> None:
    assert not [str(path) for path in tracked() if path.stem.strip("_") in EMPTY_NAMES]


def test_every_module_says_what_it_is_for() -> None:
    silent = []
    for path in python_files("src"):
        words = ast.get_docstring(ast.parse(path.read_text())) or ""
        if len(words) < 20 or words.startswith("TODO"):
            silent.append(str(path.relative_to(ROOT)))
    assert not silent


@pytest.mark.parametrize(("name", "pattern"), [("machine path", MACHINE_PATH), ("registry host", REGISTRY)])
def test_no_file_names_a_machine_or_a_registry(name: str, pattern: re.Pattern[str]) -> None:
    found = [f"{path}: {match[0]}" for path, text in texts() for match in pattern.finditer(text)]
    assert not found, name


def test_no_secret_is_in_the_tree() -> None:
    """A live key that could be real: well-formed keys in examples and tests are made at run time."""
    secret = re.compile(r"sk-tess-live-[0-9A-Za-z]{36}|sk-proj-[0-9A-Za-z_-]{20,}|BEGIN [A-Z ]*PRIVATE KEY")
    assert not [f"{path}: {match[0][:24]}…" for path, text in texts() for match in secret.finditer(text)]
