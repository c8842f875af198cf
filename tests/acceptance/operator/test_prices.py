"""The price book in force, as an operator sees it: at the command line and over HTTP."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from people_calls import People, send
from servers import running_server, tessera

PATH = "/account/operator/prices"
CONFIG = """
[prices]
discount_percent = "30"

[[provider]]
name = "reseller"
base_url = "http://127.0.0.1:9/v1"

[[deployment]]
model = "gpt-4o"
provider = "reseller"

[[price]]
organization = "acme"
discount_percent = "35"

[[cost]]
model = "gpt-4o"
provider = "reseller"
input = "2.20"
output = "9"
"""


def listed(folder: Path, *arguments: str) -> dict[str, Any]:
    (folder / "tessera.toml").write_text(CONFIG)
    ran = tessera(
        "prices", "list", "--json", "--config", str(folder / "tessera.toml"), "--data", str(folder), *arguments
    )
    found: dict[str, Any] = json.loads(ran.stdout)
    return found


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--model", "gpt-4p"), "gpt-4o"),
        (("--provider", "opneai"), "There is no provider 'opneai'; did you mean 'openai'?"),
        (("--model", "gpt-4o", "--provider", "nobody-at-all"), "There is no provider 'nobody-at-all'."),
        (("--as-of", "tomorrow"), "as_of must be a day"),
        (("--as-of", "2026-02-30"), "as_of must be a day"),
    ],
)
def test_a_bad_question_is_refused_with_a_reason(tmp_path: Path, arguments: tuple[str, ...], says: str) -> None:
    ran = tessera("prices", "list", "--data", str(tmp_path), *arguments, check=False)
    assert (ran.returncode, ran.stdout) == (1, "")
    assert says in ran.stderr


def test_each_line_says_what_is_paid_what_is_left_and_why(tmp_path: Path) -> None:
    data = listed(tmp_path, "--model", "gpt-4o", "--as-of", "2026-11-22")["data"]
    lines = {(line["tier"], line["provider"], line["organization"]): line for line in data}
    assert set(lines) == {
        ("default", "reseller", None),
        ("default", "reseller", "acme"),
        ("default", "openai", None),
        ("default", "openai", "acme"),
        ("batch", "reseller", None),
        ("priority", "reseller", None),
    }
    acme = lines["default", "reseller", "acme"]
    assert (acme["list_price"]["input"], acme["price"]["input"], acme["cost"]["input"]) == ("2.5", "1.625", "2.2")
    assert acme["margin"] == [{"above_tokens": 0, "input": "-0.575", "output": "-2.5", "cached_input": "-1.3875"}]
    assert acme["price_row"] == {
        "place": "price[0]",
        "discount_percent": "35",
        "for": {"organization": "acme"},
        "why": "price[0]: 35 % off the list, the narrowest row for it (for organization acme)",
    }
    assert acme["cost_row"]["for"] == {"model": "gpt-4o", "provider": "reseller"}
    general = lines["default", "openai", None]
    assert (general["price_row"]["place"], general["cost_row"]["place"]) == ("prices.discount_percent", None)
    assert general["price_row_version"] != general["cost_row_version"]


def test_filters_leave_what_was_asked_for(tmp_path: Path) -> None:
    asked = listed(tmp_path, "--model", "gpt-4o", "--organization", "acme", "--provider", "openai")["data"]
    assert {(line["tier"], line["provider"], line["organization"]) for line in asked} == {
        (tier, "openai", "acme") for tier in ("default", "batch", "priority")
    }
    before = listed(tmp_path, "--model", "gpt-4o", "--as-of", "2026-09-01")["data"]
    assert {line["tier"] for line in before} == {"default"}
    assert listed(tmp_path, "--model", "gpt-6.2-sol")["data"] == []


def test_all_models_are_listed_for_people_and_programs_alike(tmp_path: Path) -> None:
    data = listed(tmp_path)["data"]
    assert len({line["model"] for line in data}) > 30
    table = tessera("prices", "list", "--config", str(tmp_path / "tessera.toml"), "--data", str(tmp_path)).stdout
    assert len(table.splitlines()) == len(data) + 1
    assert any(line.split()[:4] == ["gpt-4o", "default", "reseller", "acme"] for line in table.splitlines())


def test_an_organization_is_known_by_both_its_names_once_there_is_a_ledger(people: People) -> None:
    operator = people.newcomer()
    people.server.tessera("members", "operator", operator.email)
    name = operator.get("/account/organizations").json["data"][0]["name"]
    config = Path(people.server.data_dir).parent / "book.toml"
    config.write_text(f'[[price]]\norganization = "{name}"\ndiscount_percent = "50"\n')
    arguments = ("prices", "list", "--model", "gpt-4o", "--config", str(config), "--json")
    by_id = json.loads(people.server.tessera(*arguments, "--organization", operator.organization).stdout)["data"]
    assert [line["price_row"]["place"] for line in by_id if line["tier"] == "default"] == ["price[0]"]
    config.write_text('[[price]]\norganization = "later"\ndiscount_percent = "5"\n')
    not_yet = json.loads(people.server.tessera(*arguments, "--organization", "later").stdout)["data"]
    assert "price[0]" in {line["price_row"]["place"] for line in not_yet}
    unknown = people.server.tessera(*arguments, "--organization", "nobody", check=False)
    assert (unknown.returncode, "not_found" in unknown.stderr) == (1, True)


def test_operators_see_the_book_of_the_running_server_and_nobody_else_does(people: People) -> None:
    operator, other = people.newcomer(), people.newcomer()
    people.server.tessera("members", "operator", operator.email)
    assert other.get(PATH).status == 403
    reply = operator.get(f"{PATH}?model=gpt-4o&organization={operator.organization}")
    assert reply.status == 200, reply.text
    said = people.server.tessera(
        "prices", "list", "--model", "gpt-4o", "--organization", operator.organization, "--json"
    )
    assert json.loads(said.stdout) == reply.json
    assert {line["price"]["input"] for line in reply.json["data"] if line["tier"] == "default"} == {"2.5"}


@pytest.mark.parametrize(
    ("query", "status", "param"),
    [
        ("as_of=soon", 400, "as_of"),
        ("model=nope", 404, "model"),
        ("tier=flex", 400, "tier"),
        ("organization=x", 404, None),
    ],
)
def test_a_bad_question_over_http_is_refused_by_name(
    people: People, query: str, status: int, param: str | None
) -> None:
    operator = people.newcomer()
    people.server.tessera("members", "operator", operator.email)
    reply = operator.get(f"{PATH}?{query}")
    assert (reply.status, reply.json["error"]["param"]) == (status, param)


def test_a_preview_says_what_the_months_calls_would_be_charged_and_writes_nothing(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        account = server.account()
        headers = {"Authorization": f"Bearer {account.key}"}
        for model in ("gpt-4o", "gpt-4o", "gpt-4o-mini"):
            body = {"model": model, "messages": [{"role": "user", "content": "hello"}]}
            assert send(server.base_url, "POST", "/v1/chat/completions", body, headers).status == 200
        receipts = send(server.base_url, "GET", "/v1/requests", None, headers).json["data"]
        months = {datetime.fromtimestamp(one["created_at"], UTC).strftime("%Y-%m") for one in receipts}

        def preview(text: str, *arguments: str) -> list[dict[str, Any]]:
            config = tmp_path / "new.toml"
            config.write_text(text)
            asked = ("prices", "preview", "--config", str(config), "--mode", "test", "--json", *arguments)
            found = [json.loads(server.tessera(*asked, "--month", month).stdout) for month in sorted(months)]
            return [line for report in found for line in report["data"]]

        charged = sum(one["charge"]["nanos"] for one in receipts)
        same = preview("")
        assert sum(line["charged_nanos"] for line in same) == charged
        assert {line["difference_nanos"] for line in same} == {0}
        assert {line["organization"] for line in same} == {account.organization}
        # Three times the price is exact: no rounding hides whether each call was priced by itself.
        dearer = preview('[[price]]\nmodel = "gpt-4o"\ndiscount_percent = "-200"\n')
        mini = sum(line["charged_nanos"] for line in dearer if line["model"] == "gpt-4o-mini")
        assert sum(line["would_be_charged_nanos"] for line in dearer) == 3 * (charged - mini) + mini
        later = '[[price]]\nvalid_from = "2999-01-01"\ndiscount_percent = "100"\n'
        assert {line["difference_nanos"] for line in preview(later)} == {0}
        assert {line["would_be_charged_nanos"] for line in preview(later, "--as-of", "2999-01-01")} == {0}
        month = sorted(months)[-1]
        config = ("--config", str(tmp_path / "new.toml"), "--mode", "test", "--month", month)
        shown = server.tessera("prices", "preview", *config)
        assert ("NEW CHARGES" in shown.stdout, "take no part" in shown.stderr) == (True, True)
        assert send(server.base_url, "GET", "/v1/requests", None, headers).json["data"] == receipts
        server.verify()


def test_a_preview_without_a_ledger_or_of_no_month_is_refused(tmp_path: Path) -> None:
    nowhere = tessera("prices", "preview", "--data", str(tmp_path / "nowhere"), check=False)
    assert (nowhere.returncode, "no data of Tessera" in nowhere.stderr) == (1, True)
    assert not (tmp_path / "nowhere").exists()
