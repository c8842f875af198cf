"""What a command loads: the time of a start is mostly that, and no test of times would hold on a busy machine."""

import subprocess
import sys
from pathlib import Path

import pytest

from servers import clean_environment

LIBRARIES = ("PIL", "aiohttp", "numpy", "pi_heif", "psycopg", "reportlab", "rich", "stripe")
"""Each takes 10 to 200 ms, and is loaded where an image, an address, a payment, a document, a table or PostgreSQL needs
it."""
SERVER = ("starlette", "tessera.flows.inference", "tessera.http.app", "uvicorn", "uvloop")
TO_COUNT = ("tiktoken",)

WATCH = """
import atexit, sys
from tessera.cli import main

def say():
    print(*sys.modules)

atexit.register(say)
main(sys.argv[1:])
"""
SERVE = """
import os, signal, sys
import click
from tessera.cli import main
from tessera.adapters.tokenizers import ENCODINGS, is_loaded
from tessera.domain.advisories.topics import compiled

def say(text):
    print(compiled.cache_info().misses, "patterns")
    print(*sys.modules, *(name for name in ENCODINGS if is_loaded(name)))
    os.kill(os.getpid(), signal.SIGTERM)

# What is printed when the server answers; the rest of a life is not a start.
click.echo = say
main(["serve", "--port", "0", "--json", *sys.argv[1:]])
"""


def run(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", script, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, env=clean_environment(), timeout=110)


def loaded(done: subprocess.CompletedProcess[str]) -> set[str]:
    return set(done.stdout.splitlines()[-1].split())


@pytest.mark.parametrize(
    "arguments",
    [
        ("orgs", "create", "acme"),
        ("keys", "create", "--org", "acme"),
        ("credit", "add", "--org", "acme", "--amount", "5.00"),
        ("usage", "--org", "acme"),
        ("migrate",),
        ("verify",),
        ("backup", "{folder}/copy.tar"),
    ],
    ids=lambda arguments: arguments[0],
)
def test_a_command_on_the_ledger_loads_no_server_and_no_library_it_does_not_use(
    tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    data = ("--data", str(tmp_path / "data"))
    if arguments[0] != "orgs":
        run(WATCH, "orgs", "create", "acme", *data)
    words = [word.format(folder=tmp_path) for word in arguments]
    modules = loaded(run(WATCH, *words, *data))
    assert "tessera.adapters.storage.sqlite" in modules
    assert modules.isdisjoint((*LIBRARIES, *SERVER, *TO_COUNT))


def test_a_quote_of_a_size_loads_no_database_and_no_event_loop() -> None:
    modules = loaded(run(WATCH, "quote", "--size", "1000x1000", "--model", "gpt-5.2-pro", "--json"))
    assert "tessera.catalog.catalogue" in modules
    assert modules.isdisjoint((*LIBRARIES, *SERVER, "asyncio", "sqlite3", "structlog"))


def test_a_server_answers_without_what_only_some_calls_need(tmp_path: Path) -> None:
    done = run(SERVE, "--data", str(tmp_path / "data"))
    modules = loaded(done)
    assert modules.issuperset(SERVER)
    assert modules.isdisjoint((*LIBRARIES, "cl100k_base"))
    assert done.stdout.startswith("0 patterns\n")
