"""`tessera reconcile --provider` names planted missing, doubled and repriced calls, from books in OpenAI's shapes."""

import json
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec
import pytest

from ledger_calls import funded, hold_order, usage_event
from servers import in_thread, tessera
from tessera.adapters.storage.sqlite import SqliteStorage
from tessera.domain.ledger.orders import Outcome
from tessera.domain.money import Mode
from tessera.domain.quantities import Quantities

DAY = 1_795_305_600
"""2026-11-22 00:00:00 UTC."""
ADMIN_KEY = "sk-admin-canary-0123456789"
CALLS = [(f"req_{number}", "gpt-4o" if number < 6 else "gpt-5.2-pro", 1000 + 2**number) for number in range(8)]
Row = tuple[str, str, int]


class Books:
    """OpenAI's usage and costs endpoints over some calls; two buckets a page."""

    def __init__(self) -> None:
        self.calls: list[Row] = list(CALLS)
        self.raised_usd: dict[str, float] = {}
        self.minutes: dict[str, int] = {}
        self.names: dict[str, str] = {}
        self.broken = False
        books = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked = urlsplit(self.path)
                known = self.headers["Authorization"] == f"Bearer {ADMIN_KEY}"
                body = json.dumps(books.page(asked.path, parse_qs(asked.query)) if known else {}).encode()
                self.send_response(200 if known else 401)
                self.end_headers()
                self.wfile.write(b"{" if books.broken else body)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.base_url = f"http://127.0.0.1:{self._server.server_port}/v1"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def page(self, path: str, query: dict[str, list[str]]) -> dict[str, Any]:
        first, last = (int(query[name][0]) for name in ("start_time", "end_time"))
        buckets = self._costs() if path == "/v1/organization/costs" else self._usage(first, last)
        at = int(query.get("page", ["0"])[0])
        more = at + 2 < len(buckets)
        return {
            "object": "page",
            "data": buckets[at : at + 2],
            "has_more": more,
            "next_page": str(at + 2) if more else None,
        }

    def _usage(self, first: int, last: int) -> list[dict[str, Any]]:
        minutes: dict[int, list[Row]] = {}
        for call in self.calls:
            if first <= self._minute(call) < last:
                minutes.setdefault(self._minute(call), []).append((call[0], self._name(call), call[2]))
        return [
            {"object": "bucket", "start_time": at, "results": _counted(rows)} for at, rows in sorted(minutes.items())
        ]

    def _minute(self, call: Row) -> int:
        return self.minutes.get(call[0], DAY + 600 * int(call[0].removeprefix("req_")))

    def _name(self, call: Row) -> str:
        return self.names.get(call[1], call[1])

    def _costs(self) -> list[dict[str, Any]]:
        nanos: Counter[str] = Counter()
        for call in self.calls:
            if DAY <= self._minute(call) < DAY + 86_400:
                nanos[self._name(call)] += call[2] * 3
        results = [
            {
                "object": "organization.costs.result",
                "amount": {"value": value / 1e9 + self.raised_usd.get(model, 0.0), "currency": "usd"},
                "line_item": f"{model}, input",
                "project_id": None,
            }
            for model, value in nanos.items()
        ]
        return [{"object": "bucket", "start_time": DAY, "end_time": DAY + 86_400, "results": results}]


def _counted(rows: list[Row]) -> list[dict[str, Any]]:
    return [
        {
            "object": "organization.usage.completions.result",
            "input_tokens": sum(row[2] for row in rows if row[1] == model),
            "output_tokens": sum(1 for row in rows if row[1] == model),
            "input_cached_tokens": 0,
            "num_model_requests": sum(1 for row in rows if row[1] == model),
            "model": model,
            "batch": None,
        }
        for model in sorted({row[1] for row in rows})
    ]


@pytest.fixture
def books(tmp_path: Path) -> Iterator[Books]:
    """A provider that agrees with the ledger in `tmp_path/data`."""
    found = Books()
    config = f'[[provider]]\nname = "openai"\nbase_url = "{found.base_url}"\n'
    (tmp_path / "tessera.toml").write_text(config)
    (tmp_path / "admin-key").write_text(ADMIN_KEY)
    in_thread(_plant(tmp_path / "data"))
    yield found
    found.close()


async def _plant(data_dir: Path) -> None:
    await _served(data_dir, [(*call, DAY + 600 * int(call[0].removeprefix("req_")) + 30) for call in CALLS])


async def _served(data_dir: Path, calls: list[tuple[str, str, int, int]]) -> None:
    """Calls of a new organization, with when they were settled; one without tokens failed."""
    storage = await SqliteStorage.open(data_dir)
    organization = await funded(storage, 10**12)
    for name, model, tokens, at in calls:
        at_us = at * 1_000_000
        order = hold_order(organization, 10**9, id=name, mode=Mode.LIVE, model=model, placed_at_us=at_us - 10**6)
        await storage.hold(order)
        event = usage_event(order, tokens * 5, deployment=f"openai/{model}", settled_at_us=at_us, cost_nanos=tokens * 3)
        used = Quantities(input_tokens=tokens, output_tokens=1 if tokens else 0)
        outcome = Outcome.COMPLETED if tokens else Outcome.PROVIDER_ERROR
        await storage.settle(msgspec.structs.replace(event, usage=used, outcome=outcome))
    await storage.close()


def reconcile(folder: Path, *more: str) -> tuple[int, dict[str, Any], str]:
    place = ("--config", str(folder / "tessera.toml"), "--data", str(folder / "data"))
    span = ("--from", "2026-11-22", "--until", "2026-11-23")
    key = ("--admin-key", f"file:{folder / 'admin-key'}")
    done = tessera("reconcile", "--provider", "openai", *key, *span, *place, *more, check=False)
    assert ADMIN_KEY not in done.stdout + done.stderr
    return (
        done.returncode,
        json.loads(done.stdout) if "--json" in more and done.stdout else {},
        done.stdout + done.stderr,
    )


def test_books_that_agree_are_a_success(books: Books, tmp_path: Path) -> None:
    code, found, said = reconcile(tmp_path, "--json")
    assert (code, found.get("differences"), found.get("refundable")) == (0, [], []), said
    assert (found["calls"], found["cost_nanos"]) == (8, found["billed_nanos"])
    assert "No difference." in reconcile(tmp_path)[2]


def test_missing_doubled_and_repriced_calls_are_each_named(books: Books, tmp_path: Path) -> None:
    books.calls = [call for call in CALLS if call[0] != "req_2"] + [CALLS[4]]
    books.raised_usd = {"gpt-5.2-pro": 0.5}
    code, found, said = reconcile(tmp_path, "--json")
    assert code == 1, said
    named = {one["kind"]: (one["request_ids"], one["exact"]) for one in found["differences"]}
    assert named == {
        "missing": (["req_2"], True),
        "doubled": (["req_4"], True),
        "repriced": (["req_6", "req_7"], False),
    }
    assert found["refundable"] == [{"request_id": "req_2", "charge_nanos": CALLS[2][2] * 5}]
    assert "charged, not billed by the provider: req_2" in reconcile(tmp_path)[2]


def test_a_call_counted_beyond_midnight_a_failed_one_and_a_dated_name_differ_in_nothing(
    books: Books, tmp_path: Path
) -> None:
    calls = [("req_8", "gpt-4o", 3000, DAY + 20), ("req_9", "gpt-4o", 5000, DAY + 86_400 + 20)]
    in_thread(_served(tmp_path / "data", [*calls, ("req_10", "gpt-4o", 0, DAY + 900)]))
    books.calls += [call[:3] for call in calls]
    books.minutes = {"req_8": DAY - 60, "req_9": DAY + 86_340}
    books.names = {"gpt-4o": "gpt-4o-2024-08-06"}
    code, found, said = reconcile(tmp_path, "--json")
    assert (code, found.get("differences"), found.get("unmatched_line_items")) == (0, [], []), said
    books.calls.remove(CALLS[3])
    _, found, _ = reconcile(tmp_path, "--json")
    named = [(one["kind"], one["request_ids"], one["exact"]) for one in found["differences"]]
    assert named == [("missing", ["req_3"], True)]


def test_a_call_of_the_day_before_is_left_to_that_days_comparison(books: Books, tmp_path: Path) -> None:
    """It was counted before what is read of the provider's books, and is near enough to a call of this day that was
    counted a minute earlier to be taken together with it."""
    calls = [("req_8", "gpt-4o", 3000, DAY - 100), ("req_9", "gpt-4o", 5000, DAY + 5)]
    in_thread(_served(tmp_path / "data", calls))
    books.calls += [call[:3] for call in calls]
    books.minutes = {"req_8": DAY - 180, "req_9": DAY - 60}
    code, found, said = reconcile(tmp_path, "--json")
    assert (code, found.get("differences"), found.get("refundable")) == (0, [], []), said


def test_books_that_cannot_be_read_are_an_error_and_not_agreement(books: Books, tmp_path: Path) -> None:
    books.broken = True
    assert reconcile(tmp_path)[0] == 1
    books.broken = False
    (tmp_path / "admin-key").write_text("sk-admin-other")
    code, _, said = reconcile(tmp_path)
    assert (code, "status 401" in said) == (1, True)
