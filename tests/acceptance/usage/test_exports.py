"""Usage as a file: the same rows over HTTP and from the command line, as CSV and as Parquet."""

import csv
import http.client
import io
import json
import time
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import pyarrow.parquet
import pytest

from people_calls import People, send
from servers import Account, TesseraServer, tessera


def get(server: TesseraServer, key: str, **query: object) -> tuple[int, dict[str, str], bytes]:

    address = urlsplit(server.base_url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=30)
    path = f"/v1/usage/export?{urlencode(query)}"
    connection.request("GET", path, headers={"Authorization": f"Bearer {key}"})
    reply = connection.getresponse()
    found = (reply.status, {name.lower(): value for name, value in reply.getheaders()}, reply.read())
    connection.close()
    return found


@pytest.fixture
def account(server: TesseraServer) -> Account:
    made = server.account()
    for model in ("gpt-4o", "gpt-5.2-pro", "gpt-4o"):
        body = {"model": model, "messages": [{"role": "user", "content": "Hello"}]}
        headers = {"Authorization": f"Bearer {made.key}"}
        assert send(server.base_url, "POST", "/v1/chat/completions", body, headers).status == 200
    return made


def today() -> str:
    return time.strftime("%Y-%m-%d", time.gmtime())


def test_a_csv_has_every_receipt(server: TesseraServer, account: Account) -> None:
    status, headers, content = get(server, account.key, start_time=int(time.time()) - 3600)
    assert status == 200
    assert headers["content-type"] == "text/csv; charset=utf-8"
    assert headers["content-disposition"] == 'attachment; filename="usage-test.csv"'
    rows = list(csv.DictReader(io.StringIO(content.decode())))
    listed = send(server.base_url, "GET", "/v1/requests", None, {"Authorization": f"Bearer {account.key}"}).json
    receipts = {receipt["id"]: receipt for receipt in listed["data"]}
    assert [row["request_id"] for row in rows] == list(reversed(receipts))
    for row in rows:
        receipt = receipts[row["request_id"]]
        assert int(row["charge_nanos"]) == receipt["charge"]["nanos"]
        assert row["charge"] == receipt["charge"]["amount"]
        assert int(row["input_tokens"]) == receipt["usage"]["input_tokens"]
        assert (row["model"], row["mode"], row["key"], row["member"]) == (receipt["model"], "test", account.key_id, "")
        assert row["settled_at"].endswith("Z")


def test_parquet_has_the_same_rows_with_types(server: TesseraServer, account: Account) -> None:
    since = int(time.time()) - 3600
    rows = list(csv.DictReader(io.StringIO(get(server, account.key, start_time=since)[2].decode())))
    status, headers, content = get(server, account.key, start_time=since, format="parquet")
    assert (status, headers["content-type"]) == (200, "application/vnd.apache.parquet")
    table = pyarrow.parquet.read_table(io.BytesIO(content))
    assert table.column_names == list(rows[0])
    assert str(table.schema.field("charge").type) == "decimal128(19, 9)"
    assert str(table.schema.field("settled_at").type) == "timestamp[us, tz=UTC]"
    for found, row in zip(table.to_pylist(), rows, strict=True):
        assert found["request_id"] == row["request_id"]
        assert found["charge_nanos"] == int(row["charge_nanos"]) == int(found["charge"] * 10**9)
        assert found["settled_at"].strftime("%Y-%m-%dT%H:%M:%S.%fZ") == row["settled_at"]
        assert found["member"] is None


def test_the_command_writes_what_http_gives(server: TesseraServer, account: Account, tmp_path: Path) -> None:
    over_http = get(server, account.key, start_time=0)[2].decode()
    place = ("--org", account.organization, "--data", str(server.data_dir), "--mode", "test", "--from", today())
    assert tessera("usage", "export", *place).stdout.splitlines() == over_http.splitlines()
    out = tmp_path / "usage.parquet"
    tessera("usage", "export", *place, "--to", today(), "--format", "parquet", "--out", str(out))
    assert pyarrow.parquet.read_table(out).num_rows == 3
    told = tmp_path / "told.csv"
    said = json.loads(tessera("usage", "export", *place, "--out", str(told), "--json").stdout)
    assert said == {"file": str(told), "bytes": len(told.read_bytes())}
    assert tessera("usage", "export", *place, "--json", check=False).returncode == 2
    again = tessera("usage", "export", *place, "--format", "parquet", "--out", str(out), check=False)
    assert again.returncode == 2
    assert tessera("usage", "export", *place, "--to", "2001-01-01", check=False).returncode == 2
    empty = (
        "--org",
        account.organization,
        "--data",
        str(server.data_dir),
        "--from",
        "2001-01-01",
        "--to",
        "2001-01-02",
    )
    assert len(tessera("usage", "export", *empty).stdout.splitlines()) == 1


def test_the_command_still_shows_usage_by_model(server: TesseraServer, account: Account) -> None:
    shown = tessera("usage", "--org", account.organization, "--data", str(server.data_dir)).stdout
    assert "gpt-5.2-pro" in shown
    assert tessera("usage", "--data", str(server.data_dir), check=False).returncode == 2


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ({}, "start_time"),
        ({"start_time": 5, "end_time": 5}, "end_time"),
        ({"start_time": 5, "format": "xlsx"}, "format"),
        ({"start_time": 5, "mode": "live"}, "mode"),
    ],
)
def test_an_export_that_makes_no_sense_is_refused(server: TesseraServer, query: dict[str, object], param: str) -> None:

    status, _, content = get(server, server.account().key, **query)
    assert (status, json.loads(content)["error"]["param"]) == (400, param)


def test_a_member_exports_their_own_organization_only(people: People) -> None:
    ada, eve = people.newcomer(), people.newcomer("Eve")
    assert ada.get(f"{ada.at()}/usage/export?start_time=0&mode=test").text.startswith("request_id,")
    assert ada.get(f"{eve.at()}/usage/export?start_time=0&mode=test").status == 404


def test_days_at_either_end_of_the_calendar_are_days(server: TesseraServer, account: Account) -> None:
    days = ("--from", "0001-01-01", "--to", "9999-12-31")
    found = server.tessera("usage", "export", "--org", account.organization, "--mode", "test", *days)
    assert len(list(csv.DictReader(io.StringIO(found.stdout)))) == 3
