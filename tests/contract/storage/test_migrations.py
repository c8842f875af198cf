"""Both engines come from every earlier schema with data in them, and have the same tables."""

import json
import re
import sqlite3
import tarfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from contract.storage.conftest import ENGINES, Opener
from ledger_calls import database, faults, hold_order, usage_event
from lived_in_ledger import lived_in
from tessera.adapters.storage.ledger.secrets import copy_secrets
from tessera.adapters.storage.postgres import connection, moving
from tessera.adapters.storage.postgres import migrations as postgres_migrations
from tessera.adapters.storage.postgres.connection import PostgresConnection
from tessera.adapters.storage.postgres.migrations import migrate as migrate_postgres
from tessera.adapters.storage.postgres.translation import to_postgres
from tessera.adapters.storage.sqlite import SqliteStorage, migrations, restore
from tessera.domain.errors import TesseraError
from tessera.domain.money import Mode
from tessera.ports import Balance

pytestmark = pytest.mark.anyio
LAST = len(migrations.migrations())


@dataclass
class Today:
    """A lived-in ledger, closed, and the balances of its organizations."""

    folder: Path
    balances: dict[str, Balance]


@pytest.fixture
def database_url(empty_database_url: str) -> str:
    """Here a database begins with nothing in it."""
    return empty_database_url


def shape(connection: sqlite3.Connection) -> dict[str, list[str]]:
    """Tables and their columns."""
    return dict(moving._shape(connection))


def older(path: Path, schema: int, source: sqlite3.Connection) -> sqlite3.Connection:
    """A file of an earlier schema with everything of a ledger that it had room for."""
    connection = sqlite3.connect(path, isolation_level=None)
    # Nobody pulls the plug while this is made: it waits for no disk.
    connection.executescript("PRAGMA synchronous = OFF; PRAGMA journal_mode = MEMORY")
    for _, script in migrations.migrations()[:schema]:
        connection.executescript(script)
    connection.execute(f"PRAGMA user_version = {schema:d}")
    known = shape(source)
    connection.execute("BEGIN")
    for table, columns in shape(connection).items():
        # What later migrations make out of calls is theirs to make; what was there is as it was.
        common = [column for column in columns if column in known.get(table, ())]
        if common:
            names = ", ".join(common)
            rows = source.execute(f"SELECT {names} FROM {table}").fetchall()
            connection.executemany(f"INSERT INTO {table} ({names}) VALUES ({', '.join('?' * len(common))})", rows)
    connection.execute("COMMIT")
    return connection


@pytest.fixture(scope="module")
async def today(tmp_path_factory: pytest.TempPathFactory) -> Today:
    """A ledger of today's schema that every test here may read."""
    folder = tmp_path_factory.mktemp("today")
    storage = await SqliteStorage.open(folder)
    organizations = await lived_in(storage)
    await storage.resume_organization(organizations[2])
    balances = {organization: await storage.balance(organization, Mode.LIVE) for organization in organizations}
    await storage.close()
    return Today(folder, balances)


@pytest.mark.parametrize("schema", range(1, LAST))
async def test_a_ledger_of_an_earlier_schema_is_brought_up_to_date_and_passes_its_audit(
    engine: str, opener: Opener, request: pytest.FixtureRequest, tmp_path: Path, today: Today, schema: int
) -> None:
    folder = tmp_path / "old"
    copy_secrets(today.folder, folder)
    with closing(sqlite3.connect(database(today.folder))) as source:
        place = database(folder) if engine == "sqlite" else tmp_path / "old.db"
        with closing(older(place, schema, source)) as old:
            if engine == "postgres":
                target = PostgresConnection(request.getfixturevalue("database_url"), writable=True)
                migrate_postgres(target.raw, until=schema)
                for table, columns in shape(old).items():
                    moving._copy_in(old, target, table, columns)
                moving.number_on(target)
                target.close()
    storage = await opener(folder)
    assert faults(await storage.verify()) == {}
    balances = {organization: await storage.balance(organization, Mode.LIVE) for organization in today.balances}
    assert balances == today.balances
    order = hold_order(next(iter(balances)), 100, mode=Mode.LIVE, owner=storage.owner)
    await storage.hold(order)
    await storage.settle(usage_event(order, 1))
    assert faults(await storage.verify()) == {}
    await storage.close()


@pytest.mark.parametrize("schema", [1, LAST + 1])
async def test_a_backup_of_an_earlier_version_is_restored_and_one_of_a_later_version_is_refused(
    tmp_path: Path, today: Today, schema: int
) -> None:
    with (
        closing(sqlite3.connect(database(today.folder))) as source,
        closing(older(tmp_path / "tessera.db", schema, source)),
        tarfile.open(tmp_path / "backup.tar", "w") as archive,
    ):
        archive.add(tmp_path / "tessera.db", arcname="tessera.db")
        for name in ("pepper", "checkpoint-key", "checkpoints.json"):
            archive.add(today.folder / name, arcname=name)
    if schema > LAST:
        with pytest.raises(TesseraError, match=f"has schema {schema}"):
            restore(tmp_path / "backup.tar", tmp_path / "restored")
        assert not (tmp_path / "restored").exists()
        return
    assert faults(restore(tmp_path / "backup.tar", tmp_path / "restored")) == {}
    left = {path.name for path in (tmp_path / "restored").iterdir()}
    assert left == {"tessera.db", "pepper", "checkpoint-key", "checkpoints.json"}


def test_a_replica_waits_for_anothers_migration_as_long_as_that_takes(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "LOCK_TIMEOUT_S", 0.1)
    waiting = PostgresConnection(database_url, writable=True)
    with psycopg.connect(database_url) as migrating, ThreadPoolExecutor(1) as pool:
        migrating.execute("SELECT pg_advisory_xact_lock(%s)", (postgres_migrations._LOCK,))
        done = pool.submit(migrate_postgres, waiting.raw)
        with pytest.raises(TimeoutError):
            done.result(0.5)
        migrating.rollback()
        assert done.result(30) == LAST
    waiting.close()


def test_both_engines_have_the_same_tables_columns_and_order(database_url: str, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "db", isolation_level=None)) as embedded:
        migrations.migrate(embedded)
        expected = shape(embedded)
    with psycopg.connect(database_url, autocommit=True, cursor_factory=psycopg.RawCursor) as connection:
        migrate_postgres(connection)
        found: dict[str, list[str]] = {}
        for table, column in connection.execute(
            "SELECT table_name, column_name FROM information_schema.columns JOIN information_schema.tables"
            " USING (table_schema, table_name) WHERE table_schema = 'public' AND table_type = 'BASE TABLE'"
            " ORDER BY table_name, ordinal_position"
        ):
            found.setdefault(table, []).append(column)
    own = {"schema_version", "secret_mark", "revision"}
    assert {table: columns for table, columns in found.items() if table not in own} == expected


_TOLD = (
    (
        "evt_1",
        "checkout.session.completed",
        "applied",
        {"metadata": {"tessera_topup": "topup_1"}, "payment_intent": "pi_1"},
    ),
    ("evt_2", "payment_intent.succeeded", "repeated", {"metadata": {"tessera_topup": "topup_1"}, "id": "pi_1"}),
    ("evt_3", "refund.created", "applied", {"payment_intent": "pi_1", "id": "re_1"}),
    ("evt_4", "customer.created", "ignored", {"email": "ada@example.com\0"}),
)


def test_events_of_payment_services_are_told_apart_by_what_they_were_about(
    engine: str, request: pytest.FixtureRequest
) -> None:
    """Schema 16 finds the top-up and payment of events that were kept before."""
    rows = [
        ("stripe", id_, kind, json.dumps({"data": {"object": thing}}).encode(), outcome, "", 1)
        for id_, kind, outcome, thing in _TOLD
    ]
    insert = "INSERT INTO payment_event VALUES (?, ?, ?, ?, ?, ?, ?)"
    select = "SELECT topup_id, payment_id, length(body) > 0 FROM payment_event ORDER BY id"
    if engine == "sqlite":
        with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
            for number, script in migrations.migrations():
                if number == 16:
                    connection.executemany(insert, rows)
                connection.executescript(script)
            found = connection.execute(select).fetchall()
    else:
        target = PostgresConnection(request.getfixturevalue("database_url"), writable=True)
        migrate_postgres(target.raw, until=15)
        for row in rows:
            target.execute(insert, row)
        migrate_postgres(target.raw)
        found = target.execute(select).fetchall()
        target.close()
    assert [tuple(row) for row in found] == [
        ("topup_1", "pi_1", True),
        ("topup_1", "pi_1", True),
        (None, "pi_1", True),
        (None, None, False),
    ]


def test_every_constraint_of_one_engine_is_in_the_other() -> None:
    """What a translation leaves alone is what constrains: checks, keys, uniqueness, references."""
    words = re.compile(r"\b(CHECK|UNIQUE|REFERENCES|PRIMARY KEY|NOT NULL|CONSTRAINT)\b")
    folder = Path(moving.__file__).parent / "migrations"
    for _, name, script in migrations.named_migrations():
        own = folder / name
        said = own.read_text() if own.exists() else to_postgres(script)
        said = said.partition("-- A mark of the secrets")[0]
        assert words.findall(said) == words.findall(script), name


def test_two_engines_are_under_test() -> None:
    assert ENGINES == ("postgres", "sqlite")
