"""Every example of docs/reference/models.md and prices.md, run as printed."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs" / "reference"
BLOCK = re.compile(r"^```([a-z]*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def run(folder: Path, *arguments: str) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TESSERA_")}
    ran = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    return ran.stdout


@pytest.mark.parametrize("page", ["models.md", "prices.md"])
def test_every_example_prints_what_the_page_says(page: str, tmp_path: Path) -> None:
    ran = 0
    printed = None
    for kind, text in BLOCK.findall((DOCS / page).read_text("utf-8")):
        if kind == "toml":
            (tmp_path / "tessera.toml").write_text(text)
        elif kind == "console":
            command, _, expected = text.partition("\n")
            assert run(tmp_path, "-m", *shlex.split(command.removeprefix("$ "))) == expected
            ran += 1
        elif kind == "python":
            printed = run(tmp_path, "-c", text)
            ran += 1
        elif printed is not None:
            assert printed == text
            printed = None
    assert ran == 2 + (page == "prices.md")
