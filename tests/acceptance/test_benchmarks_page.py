"""The benchmark page says what the kept results say: no figure on it was typed."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_figure_of_the_page_comes_from_the_kept_results() -> None:
    command = [sys.executable, "-m", "benchmarks.gateway.report", "--check"]
    checked = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert checked.returncode == 0, checked.stderr
