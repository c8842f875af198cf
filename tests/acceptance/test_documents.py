"""Every example of the README and the docs is run, block after block, as a reader would: against a real server.

Above a block may stand: `<!-- not run: why -->`, or `<!-- exit: 1 -->` for one that must fail. A `text` block is what
the block before it must print, and in a `console` block what follows the line `$ command`; `…` stands for anything.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import click
import pytest

from servers import TesseraServer, running_server
from tessera.cli import main
from tessera.domain.dialects.errors import STATUS
from tessera.http.openai.calls import FORWARDED_HEADERS, TERMS_HEADERS
from tessera.http.origins import READABLE
from tessera.settings import load_settings
from tessera.settings.reading import setting_names
from tessera.settings.rows import catalogue_of, price_book_of

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
RUNNABLE = ("sh", "console", "python", "js", "toml")
SHOWN = ("json", "text", "")
DATABASE = "postgresql://tessera@db.internal/tessera"
"""The PostgreSQL of the documents, in whose place stands one of the test's own."""

_BLOCK = re.compile(r"(?:^<!-- (?P<note>[^\n]*?) -->\n+)?^```(?P<language>[a-z]*)\n(?P<text>.*?)^```$", re.M | re.S)
_LINK = re.compile(r"\]\((?!https?://)([^)#\s]*)(?:#([^)\s]+))?\)")
_HEADING = re.compile(r"^#+ (.*)$", re.M)


@dataclass(frozen=True)
class Block:
    """An example: its language, its text, the exit code it must have and, where shown, what it must print."""

    language: str
    text: str
    exit_code: int
    line: int
    prints: str | None = None


def blocks(document: Path) -> list[Block]:
    """The examples of a document that run."""
    found: list[Block] = []
    content = document.read_text()
    last_ran = False
    for match in _BLOCK.finditer(content):
        line = content.count("\n", 0, match.start("text"))
        note, language, text = match["note"] or "", match["language"], match["text"]
        assert language in RUNNABLE + SHOWN, f"{document.name}:{line} has a block of unknown language {language!r}"
        if language == "text" and last_ran:
            found[-1] = replace(found[-1], prints=text)
        last_ran = language in RUNNABLE and not note.startswith("not run: ")
        if not last_ran:
            continue
        exit_code = int(note.removeprefix("exit: ")) if note.startswith("exit: ") else 0
        if language == "console":
            command, _, prints = text.removeprefix("$ ").partition("\n")
            found.append(Block("sh", command, exit_code, line, prints))
        else:
            found.append(Block(language, text, exit_code, line))
    return found


def names(document: Path) -> str:
    return str(document.relative_to(ROOT))


@pytest.mark.parametrize("document", [d for d in DOCUMENTS if blocks(d)], ids=names)
def test_the_examples_of_a_document_run(document: Path, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    found = blocks(document)
    if any(DATABASE in block.text for block in found):
        url = request.getfixturevalue("empty_database_url")
        found = [replace(block, text=block.text.replace(DATABASE, url)) for block in found]
    programs = {"curl"} if any("curl " in block.text for block in found) else set()
    if any(block.language == "js" for block in found):
        programs.add("node")
        if not (ROOT / "tests/node/node_modules/openai").exists():
            pytest.skip("npm could not install the OpenAI Node client here")
    for program in programs:
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed here")
    with running_server(tmp_path) as server:
        folder = tmp_path / "reader"
        environment = prepare(folder, server.data_dir)
        for block in found:
            block = replace(block, text=block.text.replace("http://127.0.0.1:8080", server.base_url))
            environment = execute(block, f"{document.name}:{block.line}", folder, environment)
        server.verify()


def prepare(folder: Path, data_dir: Path) -> dict[str, str]:
    """A reader's folder, with what a checkout has, and the environment of a shell in it."""
    (folder / ".venv").mkdir(parents=True)
    (folder / "src").symlink_to(ROOT / "src")
    (folder / "docs").symlink_to(ROOT / "docs")
    (folder / "node_modules").symlink_to(ROOT / "tests/node/node_modules")
    binaries = folder / ".venv/bin"
    binaries.mkdir()
    (binaries / "activate").touch()
    command = binaries / "tessera"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m tessera "$@"\n')
    command.chmod(0o755)
    for name in ("python", "python3"):
        # A launcher, not a link: an interpreter finds its packages from the path it was started by.
        launcher = binaries / name
        launcher.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
        launcher.chmod(0o755)
    return {
        "PATH": f"{binaries}:{os.environ['PATH']}",
        "HOME": str(folder),
        "LANG": "C.UTF-8",
        "TESSERA_DATA_DIR": str(data_dir),
    }


def execute(block: Block, where: str, folder: Path, environment: dict[str, str]) -> dict[str, str]:
    """Runs one block; the environment a shell leaves behind is the next block's."""
    if block.language == "toml":
        path = folder / "tessera.toml"
        path.write_text(block.text)
        settings = load_settings({}, config=path)
        price_book_of(settings, catalogue_of(settings))
        return environment
    left_behind = folder / ".environment"
    if block.language == "sh":
        command = ["bash", "-euo", "pipefail", "-c", f"{block.text}\nenv -0 > {left_behind}"]
    elif block.language == "python":
        command = [sys.executable, "-c", block.text]
    else:
        script = folder / f"example-{block.line}.mjs"
        script.write_text(block.text)
        command = ["node", str(script)]
    left_behind.unlink(missing_ok=True)
    result = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=100
    )
    told = f"{where}\n{block.text}\n--- stdout\n{result.stdout}\n--- stderr\n{result.stderr}"
    assert result.returncode == block.exit_code, told
    if block.prints is not None:
        expected = ".*?".join(re.escape(part) for part in block.prints.split("…"))
        printed = re.sub(r" +$", "", result.stdout, flags=re.MULTILINE)
        assert re.fullmatch(expected, printed, re.DOTALL), f"{told}\n--- the document says\n{block.prints}"
    if left_behind.exists():
        pairs = (pair.partition("=") for pair in left_behind.read_text().split("\0") if pair)
        return {name: value for name, _, value in pairs}
    return environment


@pytest.mark.parametrize("document", DOCUMENTS, ids=names)
def test_every_link_of_a_document_leads_somewhere(document: Path) -> None:
    broken = []
    for path, anchor in _LINK.findall(document.read_text()):
        page = document.parent / path if path else document
        if not page.exists() or (anchor and anchor not in anchors(page)):
            broken.append((path, anchor))
    assert not broken


def anchors(page: Path) -> set[str]:
    """What links can name in a page: its headings, as those who show Markdown make addresses of them."""
    headings = _HEADING.findall(page.read_text())
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_document_can_be_found_from_the_index() -> None:
    index = (ROOT / "docs/index.md").read_text()
    pages = [path for path in DOCUMENTS if path.parent.name in ("how-to", "reference")]
    assert not [names(page) for page in pages if f"({page.parent.name}/{page.name})" not in index]


def test_every_setting_is_documented() -> None:
    text = (ROOT / "docs/reference/configuration.md").read_text()
    tables = {"smtp", "prices", "payments", "webhooks", "media", "limits"}
    tables |= {"price", "cost", "model", "provider", "deployment", "oidc"}
    assert not [name for name in setting_names() if name not in tables and f"`{name}`" not in text]


def test_every_setting_in_the_manifests_is_one() -> None:
    manifests = sorted((ROOT / "docs/how-to/scale-out").glob("*.yaml"))
    assert len(manifests) == 2
    known = {f"TESSERA_{name.replace('.', '_').upper()}" for name in setting_names()} | {"TESSERA_DATABASE_URL"}
    for manifest in manifests:
        used = set(re.findall(r"TESSERA_[A-Z_]+", manifest.read_text()))
        assert used >= {"TESSERA_DATABASE_URL", "TESSERA_SECRETS_DIR", "TESSERA_DATA_DIR"}
        assert used <= known


def test_every_error_is_documented_under_its_status() -> None:
    rows = re.findall(r"^\| (\d{3}) \| (.*) \|$", (ROOT / "docs/reference/api.md").read_text(), re.M)
    for code, status in STATUS.items():
        assert [int(row) for row, codes in rows if f"`{code}`" in codes] == [status], code


def test_every_header_is_documented() -> None:
    text = (ROOT / "docs/reference/api.md").read_text().lower()
    asked = {name.decode() for name in (*TERMS_HEADERS, *FORWARDED_HEADERS)}
    found = {name.replace("-tokens", "-requests") for name in READABLE if name != "idempotent-replayed"}
    assert not [name for name in asked | found if f"`{name}" not in text]


def test_every_check_of_the_audit_is_documented(server: TesseraServer) -> None:
    checks = json.loads(server.tessera("verify", "--json").stdout)["checks"]
    text = (ROOT / "docs/reference/ledger.md").read_text()
    assert len(checks) > 20
    assert not [check["name"] for check in checks if f"`{check['name']}`" not in text]


def test_every_command_is_documented() -> None:
    text = (ROOT / "docs/reference/commands.md").read_text()
    context = main.make_context("tessera", ["--help"], resilient_parsing=True)
    assert not [name for name in main.list_commands(context) if f"`tessera {name}" not in text]


def test_every_option_of_a_command_stands_in_its_row() -> None:
    rows = [line for line in (ROOT / "docs/reference/commands.md").read_text().splitlines() if line.startswith("|")]
    everywhere = {"--config", "--data", "--json", "--help", "--version"}
    missing = [
        (command, option)
        for command, option in options_of(main)
        if option not in everywhere
        and not any(f"`tessera {command.split()[0]}" in row and f"{option}" in row for row in rows)
    ]
    assert not missing


def options_of(command: click.Command, *path: str) -> Iterator[tuple[str, str]]:
    """The options of a command and of all under it, each with the command's words."""
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            yield from options_of(below, *path, name)
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            yield " ".join(path), parameter.opts[0]
