"""F10 and R10: what the ledger could not settle by itself is marked, counted, and listed for the operator."""

import json
import urllib.request
from typing import Any

import pytest

from fault_calls import call, settled
from live_calls import Live
from scripted_replies import chat_completion, chat_events, json_reply, sse_reply
from servers import tessera

ABSURD = {
    "negative": {"prompt_tokens": -1, "completion_tokens": 5, "total_tokens": 4},
    "beyond all measure": {"prompt_tokens": 10**18, "completion_tokens": 5, "total_tokens": 10**18},
    "more cached than sent": {
        "prompt_tokens": 5,
        "completion_tokens": 3,
        "total_tokens": 8,
        "prompt_tokens_details": {"cached_tokens": 10},
    },
}


def quarantined(live: Live) -> dict[str, int]:
    """The alert counter of `/metrics`, by deployment."""
    with urllib.request.urlopen(f"{live.server.base_url}/metrics", timeout=10) as reply:
        lines = reply.read().decode().splitlines()
    name = 'tessera_usage_quarantined_total{deployment="'
    found = [line.removeprefix(name).partition('"} ') for line in lines if line.startswith(name)]
    return {deployment: int(float(count)) for deployment, _, count in found}


def listed(live: Live) -> list[dict[str, Any]]:
    """What the operator is shown."""
    rows: list[dict[str, Any]] = json.loads(live.server.tessera("reconcile", "--json").stdout)["quarantined_usage"]
    return [row for row in rows if row["organization_id"] == live.account.organization_id]


@pytest.mark.parametrize("why", ABSURD)
@pytest.mark.parametrize("stream", [False, True])
def test_f10_usage_that_cannot_be_true_is_charged_by_our_count_counted_and_listed(
    live: Live, why: str, stream: bool
) -> None:
    before = quarantined(live).get("first/gpt-4o-2024-08-06", 0)
    if stream:
        events = chat_events(["one ", "two ", "three"])
        events[-2] = {**events[-2], "usage": ABSURD[why]}  # type: ignore[dict-item]
        live.first.script(sse_reply(events))
    else:
        live.first.script(json_reply({**chat_completion("one two three"), "usage": ABSURD[why]}))
    assert call(live, stream=stream).status == 200
    receipt = settled(live)
    assert receipt["usage"]["source"] == "quarantined"
    assert receipt["usage"]["output_tokens"] == 3
    assert 0 < receipt["charge"]["nanos"] <= receipt["quote"]["price"]["max_nanos"]
    assert quarantined(live)["first/gpt-4o-2024-08-06"] == before + 1
    shown = listed(live)
    assert [(row["request_id"], row["charge_nanos"]) for row in shown] == [(receipt["id"], receipt["charge"]["nanos"])]
    assert receipt["id"] in live.server.tessera("reconcile").stdout


def test_f10_a_last_chunk_that_is_no_json_undoes_no_answer(live: Live) -> None:
    events = chat_events(["one ", "two ", "three"])
    events[-2] = {**events[-2], "tokens_per_second": float("nan")}  # type: ignore[dict-item]
    live.first.script(sse_reply(events))
    assert call(live, stream=True).status == 200
    receipt = settled(live)
    assert (receipt["status"], receipt["usage"]["source"]) == ("settled", "quarantined")
    assert receipt["usage"]["output_tokens"] == 3
    assert receipt["charge"]["nanos"] > 0


def test_f10_usage_that_is_only_missing_is_not_quarantined(live: Live) -> None:
    before = quarantined(live)
    live.first.script(json_reply({**chat_completion("one two three"), "usage": None}))
    assert call(live).status == 200
    assert settled(live)["usage"]["source"] == "local"
    assert (quarantined(live), listed(live)) == (before, [])


def test_reconcile_names_no_data_folder_that_is_not_there(live: Live) -> None:
    refused = tessera("reconcile", "--data", str(live.server.data_dir / "elsewhere"), check=False)
    assert refused.returncode == 1
    assert "Traceback" not in refused.stderr
