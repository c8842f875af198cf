"""Every command takes `--config` and `--data`, and none takes a folder without data for a whole ledger."""

import json
from pathlib import Path

import click
import pytest

from servers import tessera
from tessera.cli import main


def commands(group: click.Group, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """The path of every command that is not a group."""
    context = click.Context(group)
    found: list[tuple[str, ...]] = []
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        found += commands(command, (*path, name)) if isinstance(command, click.Group) else [(*path, name)]
    return found


@pytest.mark.parametrize("path", commands(main), ids="-".join)
def test_a_command_takes_a_settings_file_a_data_folder_and_json(path: tuple[str, ...]) -> None:
    command: click.Command = main
    for name in path:
        assert isinstance(command, click.Group)
        found = command.get_command(click.Context(command), name)
        assert found is not None
        command = found
    options = {option for parameter in command.params for option in parameter.opts}
    assert {"--config", "--data", "--json"} <= options


NEED_DATA = (
    ("verify", "--json"),
    ("backup", "copy"),
    ("orgs", "list"),
    ("orgs", "suspend", "acme"),
    ("keys", "list", "--org", "acme"),
    ("usage", "--org", "acme"),
    ("credit", "add", "--org", "acme", "--amount", "1"),
    ("limits", "list", "--org", "acme"),
    ("members", "list", "--org", "acme"),
    ("alerts", "list", "--org", "acme"),
    ("webhooks", "list", "--org", "acme"),
    ("topups", "list"),
    ("vouchers", "list"),
    ("providers", "list"),
    ("refund", "req_1"),
)


@pytest.mark.parametrize("arguments", NEED_DATA, ids=" ".join)
def test_a_mistyped_folder_is_not_an_empty_ledger(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    place = tmp_path / "mistyped"
    found = tessera(*arguments, "--data", str(place), check=False)
    assert found.returncode == 1
    assert "mistyped" in found.stderr
    assert not place.exists()


def test_the_demo_keeps_a_data_folder_that_is_named_and_refuses_one_in_use(tmp_path: Path) -> None:
    place = ("--data", str(tmp_path / "demo"))
    shown = json.loads(tessera("demo", "--once", "--json", *place).stdout)
    assert json.loads(tessera("verify", "--json", *place).stdout)["ok"]
    used = json.loads(tessera("usage", "--org", "demo", "--json", *place).stdout)
    assert [row["charge_nanos"] for row in used] == [shown["charge"]["nanos"]]
    assert tessera("demo", "--once", *place, check=False).returncode == 2
