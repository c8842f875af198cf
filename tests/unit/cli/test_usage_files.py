"""The file that `tessera usage export` writes: whole, or not there."""

from pathlib import Path

import click
import pytest

from tessera.cli.usage import _target


def test_a_file_that_could_not_be_finished_is_not_there(tmp_path: Path) -> None:
    out = tmp_path / "usage.csv"

    def write(broken: bool) -> None:
        with _target(out) as target:
            target.write(b"request_id\r\n")
            if broken:
                raise OSError("No space left on device")

    with pytest.raises(OSError, match="No space"):
        write(broken=True)
    assert not out.exists()
    write(broken=False)
    assert out.read_bytes() == b"request_id\r\n"


def test_a_file_that_was_there_is_never_replaced(tmp_path: Path) -> None:
    out = tmp_path / "usage.csv"
    out.write_text("mine")
    with pytest.raises(click.UsageError, match="exists already"), _target(out):
        raise AssertionError("it was opened")
    assert out.read_text() == "mine"
