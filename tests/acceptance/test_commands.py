"""The administration commands: their JSON, their exit codes, and that they work beside a running server."""

import json
import re
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from servers import TesseraServer, clean_environment, running_server, tessera
from tessera.domain.auth import key_mode


@pytest.fixture
def data(tmp_path: Path) -> tuple[str, str]:
    return "--data", str(tmp_path / "data")


@pytest.mark.parametrize(
    "arguments",
    [
        ("frobnicate",),
        ("orgs", "create"),
        ("keys", "create"),
        ("keys", "create", "--org", "acme", "--mode", "pretend"),
        ("credit", "add", "--org", "acme", "--amount", "five"),
        ("credit", "add", "--org", "acme", "--amount", "0.0000000001"),
        ("credit", "add", "--org", "acme", "--amount", "-1"),
        ("credit", "add", "--org", "acme", "--amount", "0"),
        ("credit", "add", "--org", "acme", "--amount", "1", "--days", "36501"),
        ("vouchers", "create", "--amount", "1", "--uses", "99999999999999999999"),
        ("vouchers", "create", "--amount", "1", "--credit-days", "99999999999"),
        ("reconcile", "--from", "2026-11-01"),
        ("reconcile", "--admin-key", "env:ADMIN_KEY"),
        ("reconcile", "--payments", "--provider", "openai"),
        ("topups", "list", "--mode", "test"),
        ("usage", "--json", "export", "--org", "acme", "--from", "2026-11-01"),
        ("serve", "--workers", "2"),
        ("serve", "--port", "65536"),
        ("describe",),
        ("describe", "no-such-file.jpg"),
        ("orgs", "list", "--config", "no-such-file.toml"),
        ("orgs", "list", "--data", ""),
    ],
    ids=" ".join,
)
def test_wrong_usage_exits_with_2_and_says_why(data: tuple[str, str], arguments: tuple[str, ...]) -> None:
    result = tessera(*arguments, check=False)
    assert (result.returncode, result.stdout) == (2, "")
    assert "Error:" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("keys", "create", "--org", "nobody"),
        ("keys", "list", "--org", "nobody"),
        ("keys", "revoke", "key_nobody"),
        ("credit", "add", "--org", "nobody", "--amount", "1"),
        ("usage", "--org", "nobody"),
        ("orgs", "create", ""),
        ("orgs", "create", "org_acme"),
    ],
    ids=" ".join,
)
def test_what_cannot_be_done_exits_with_1_and_one_sentence(data: tuple[str, str], arguments: tuple[str, ...]) -> None:
    result = tessera(*arguments, *data, check=False)
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith("Error: ")
    assert "Traceback" not in result.stderr


def test_a_disk_or_a_file_that_fails_a_command_is_told_in_one_sentence(data: tuple[str, str], tmp_path: Path) -> None:
    tessera("orgs", "create", "acme", *data)
    tessera("backup", str(tmp_path / "backup.tar"), *data)
    (tmp_path / "file").touch()
    nowhere = tmp_path / "file" / "new"
    export = ("usage", "export", "--org", "acme", "--from", "2026-11-01", "--out", str(nowhere), *data)
    restoring = ("restore", str(tmp_path / "backup.tar"), "--data", str(nowhere / "er"))
    for arguments in (export, restoring):
        result = tessera(*arguments, check=False)
        assert (result.returncode, result.stdout) == (1, "")
        assert re.fullmatch(r"Error: [^\n]*(Not a directory|File exists)[^\n]*\.\n", result.stderr)
    with Path("/dev/full").open("w") as full:
        result = subprocess.run(
            [sys.executable, "-m", "tessera", "orgs", "list", *data],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            env=clean_environment(),
        )
    assert (result.returncode, result.stderr) == (1, "Error: No space left on device.\n")


def test_an_argument_that_is_no_text_is_wrong_usage(data: tuple[str, str]) -> None:
    tessera("orgs", "create", "acme", *data)
    command = [sys.executable, "-m", "tessera", "credit", "add", "--org", "acme", "--amount", "1", "--note", b"\xff"]
    result = subprocess.run([*command, *data], capture_output=True, text=True, env=clean_environment())
    assert (result.returncode, result.stdout) == (2, "")
    assert "Error: An argument is not text in UTF-8." in result.stderr


def test_a_name_that_standard_output_cannot_say_is_told_in_one_sentence(data: tuple[str, str]) -> None:
    tessera("orgs", "create", "日本", *data)
    env = {**clean_environment(), "PYTHONIOENCODING": "latin-1"}
    command = [sys.executable, "-m", "tessera", "orgs", "list", *data]
    result = subprocess.run(command, capture_output=True, text=True, env=env)
    assert result.returncode == 1
    assert result.stderr == "Error: Standard output takes latin-1 only, which cannot say all of this; use UTF-8.\n"


def test_a_secret_that_was_cut_short_is_told_in_one_sentence(data: tuple[str, str]) -> None:
    tessera("orgs", "create", "acme", *data)
    (Path(data[1]) / "pepper").write_bytes(b"short")
    result = tessera("orgs", "list", *data, check=False)
    assert result.returncode == 1
    assert re.fullmatch(r"Error: [^\n]*pepper must hold 32 bytes and holds 5; restore it[^\n]*\n", result.stderr)


def test_an_amount_that_is_none_is_refused_under_its_option() -> None:
    result = tessera("limits", "set", "--org", "acme", "--budget-day", "five", check=False)
    assert result.returncode == 2
    assert "Invalid value for --budget-day: 'five' is not an amount" in result.stderr


def test_two_workers_on_sqlite_are_refused_with_the_reason() -> None:
    assert "SQLite has one writer" in tessera("serve", "--workers", "2", check=False).stderr


def test_wrong_settings_are_a_usage_error_that_names_the_key(tmp_path: Path) -> None:
    (tmp_path / "t.toml").write_text("[limits]\nimage_max = 3\n")
    result = tessera("orgs", "list", "--config", str(tmp_path / "t.toml"), check=False)
    assert result.returncode == 2
    assert "`limits.image_max`; the nearest known key is `images_max`" in result.stderr


def test_an_organization_is_made_once_and_listed(data: tuple[str, str]) -> None:
    made = json.loads(tessera("orgs", "create", "acme", "--json", *data).stdout)
    assert made["name"] == "acme"
    again = tessera("orgs", "create", "acme", *data, check=False)
    assert again.returncode == 1
    assert [one["id"] for one in json.loads(tessera("orgs", "list", "--json", *data).stdout)] == [made["id"]]
    assert "acme" in tessera("orgs", "list", *data).stdout


def test_a_key_is_shown_once_and_stored_as_a_digest(data: tuple[str, str]) -> None:
    tessera("orgs", "create", "acme", *data)
    made = json.loads(
        tessera("keys", "create", "--org", "acme", "--mode", "live", "--name", "n", "--json", *data).stdout
    )
    assert set(made) == {"id", "key", "mode", "organization", "project"}
    assert (made["mode"], made["organization"], made["project"]) == ("live", "acme", "default")
    assert key_mode(made["key"]) == "live"
    listed = tessera("keys", "list", "--org", "acme", "--json", *data).stdout
    assert made["id"] in listed
    assert made["key"] not in listed
    files = [path for path in Path(data[1]).rglob("*") if path.is_file()]
    assert files
    assert not [path for path in files if made["key"].encode() in path.read_bytes()]


def test_without_json_a_new_key_stands_alone_on_standard_output(data: tuple[str, str]) -> None:
    tessera("orgs", "create", "acme", *data)
    assert key_mode(tessera("keys", "create", "--org", "acme", "--mode", "test", *data).stdout.strip()) == "test"


def test_a_revoked_key_is_listed_as_revoked(data: tuple[str, str]) -> None:
    tessera("orgs", "create", "acme", *data)
    made = json.loads(tessera("keys", "create", "--org", "acme", "--json", *data).stdout)
    assert json.loads(tessera("keys", "revoke", made["id"], "--json", *data).stdout)["revoked_at"] is not None
    assert "revoked" in tessera("keys", "list", "--org", "acme", *data).stdout


def test_credit_is_exact_to_the_ninth_decimal(data: tuple[str, str]) -> None:
    tessera("orgs", "create", "acme", *data)
    for amount in ("5.00", "0.000000001"):
        added = json.loads(tessera("credit", "add", "--org", "acme", "--amount", amount, "--json", *data).stdout)
    assert (added["amount_nanos"], added["available_nanos"], added["available"]) == (1, 5_000_000_001, "5.000000001")
    assert added["mode"] == "live"


def test_a_ledger_that_was_tampered_with_is_found_broken(data: tuple[str, str]) -> None:
    import sqlite3

    tessera("orgs", "create", "acme", *data)
    whole = tessera("verify", "--json", *data)
    assert json.loads(whole.stdout)["ok"]
    [path] = Path(data[1]).glob("*.db")
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA ignore_check_constraints = ON")
        connection.execute("UPDATE wallet SET available_nanos = available_nanos + 1 WHERE mode = 'test'")
    connection.close()
    broken = tessera("verify", "--json", *data, check=False)
    found = json.loads(broken.stdout)
    assert broken.returncode == 1
    assert not found["ok"]
    assert all(set(check) == {"name", "ok", "detail"} for check in found["checks"])
    assert tessera("verify", *data, check=False).returncode == 1


def test_a_backup_comes_back_whole(data: tuple[str, str], tmp_path: Path) -> None:
    tessera("orgs", "create", "acme", *data)
    copy, back = str(tmp_path / "copy.tar"), ("--data", str(tmp_path / "back"))
    tessera("backup", copy, *data)
    assert stat.S_IMODE(Path(copy).stat().st_mode) == 0o600
    assert tessera("backup", copy, *data, check=False).returncode != 0
    tessera("restore", copy, *back)
    assert "acme" in tessera("orgs", "list", *back).stdout
    assert json.loads(tessera("verify", "--json", *back).stdout)["ok"]
    assert tessera("restore", copy, *back, check=False).returncode == 1


def test_migrating_twice_changes_nothing(data: tuple[str, str]) -> None:
    tessera("migrate", *data)
    assert json.loads(tessera("migrate", "--json", *data).stdout)["current"]


def test_the_secrets_of_a_new_data_folder_are_for_its_owner_only(data: tuple[str, str]) -> None:
    tessera("migrate", *data)
    folder = Path(data[1])
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    secrets = [path for path in folder.iterdir() if path.stat().st_size == 32]
    assert len(secrets) == 2
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in secrets)


def test_a_key_works_and_stops_working_beside_the_running_server(server: TesseraServer) -> None:
    import urllib.error
    import urllib.request

    account = server.account()
    request = urllib.request.Request(f"{server.api}/models", headers={"Authorization": f"Bearer {account.key}"})
    with urllib.request.urlopen(request, timeout=10) as reply:
        assert reply.status == 200
    server.tessera("keys", "revoke", account.key_id)
    deadline = time.monotonic() + 10
    status = 200
    while status == 200 and time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(request, timeout=10) as reply:
                status = reply.status
        except urllib.error.HTTPError as error:
            status = error.code
            error.close()
    assert status == 401


def test_help_is_there_before_anyone_notices() -> None:
    """A loose bound against an import that should have been lazy; the figure of interest is in the benchmarks."""
    modules = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "tessera", "--help"],
        capture_output=True,
        text=True,
        check=True,
        env=clean_environment(),
    ).stderr
    heavy = {"numpy", "PIL", "aiohttp", "starlette", "uvicorn", "openai", "rich", "sqlite3", "asyncio"}
    loaded = {match[1] for match in re.finditer(r"\| +([\w.]+)$", modules, re.MULTILINE)}
    assert not heavy & loaded


def test_the_list_of_commands_says_each_in_a_whole_sentence() -> None:
    listed = tessera("--help").stdout.partition("Commands:")[2]
    assert "serve " in listed
    assert "..." not in listed


def test_every_command_has_help_and_takes_json() -> None:
    listed = re.findall(r"^  (\w+) ", tessera("--help").stdout.partition("Commands:")[2], re.MULTILINE)
    assert {"serve", "demo", "quote", "models", "describe", "orgs", "keys", "credit", "usage", "verify"} <= set(listed)
    groups = {"alerts", "credit", "keys", "limits", "members", "models", "orgs", "prices", "providers", "topups"}
    groups |= {"vouchers", "webhooks"}
    for name in set(listed) - groups:
        assert "--json" in tessera(name, "--help").stdout, name


def test_a_second_server_on_the_same_port_is_a_plain_error(server: TesseraServer, tmp_path: Path) -> None:
    port = server.base_url.rpartition(":")[2]
    result = tessera("serve", "--port", port, "--data", str(tmp_path / "other"), check=False)
    assert result.returncode == 1
    assert f"Cannot listen on 127.0.0.1:{port}: Address already in use." in result.stderr


def test_a_host_that_does_not_exist_is_a_plain_error(tmp_path: Path) -> None:
    result = tessera("serve", "--host", "300.1.1.1", "--port", "0", "--data", str(tmp_path), check=False)
    assert result.returncode == 1
    assert re.search(r"Cannot listen on 300\.1\.1\.1:0: Name or service not known", result.stderr)


def test_storage_that_cannot_be_reached_is_told_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    folder = tmp_path / "file" / "data"
    result = tessera("orgs", "list", "--data", str(folder), check=False)
    assert (result.returncode, result.stdout) == (1, "")
    assert f"Not a directory: {folder}" in result.stderr
    database = {"TESSERA_DATABASE_URL": "postgresql://nobody:canary@127.0.0.1:1/none"}
    result = tessera("orgs", "list", "--data", str(tmp_path / "new"), check=False, env=database)
    assert result.returncode == 1
    assert "port 1 failed: Connection refused" in result.stderr
    assert "canary" not in result.stderr


def test_the_server_says_how_to_make_a_first_call(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "tessera", "serve", "--port", "0", "--data", str(tmp_path / "data")],
        stdout=subprocess.PIPE,
        text=True,
        env=clean_environment(),
        cwd=tmp_path,
    )
    assert process.stdout is not None
    said = ""
    while "curl" not in said:
        line = process.stdout.readline()
        assert line, said
        said += line
    process.terminate()
    rest, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "tessera orgs create" in said + rest
    assert "export TESSERA_API_KEY=$(tessera keys create" in said + rest
    assert re.search(r"http://127\.0\.0\.1:\d+/v1/chat/completions", said + rest)


def test_keys_of_providers_that_are_not_there_yet_are_announced(tmp_path: Path) -> None:
    with running_server(tmp_path, env={"ANTHROPIC_API_KEY": "x", "GEMINI_API_KEY": "y"}) as server:
        said = server.log.read_text()
    assert "ANTHROPIC_API_KEY is set, but" in said
    assert "GEMINI_API_KEY is set, but" in said


def test_a_credential_that_is_not_there_stops_the_start(tmp_path: Path) -> None:
    config = tmp_path / "tessera.toml"
    config.write_text('[[provider]]\nname = "a"\nbase_url = "http://127.0.0.1:9/v1"\ncredential = "env:NOT_SET"\n')
    result = tessera("serve", "--port", "0", "--config", str(config), "--data", str(tmp_path / "d"), check=False)
    assert result.returncode == 2
    assert "provider a: env:NOT_SET holds no credential" in result.stderr
