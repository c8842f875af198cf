"""What nobody pays for is counted to the nano and bounded: `loss_max` over faults F3, F8, F14 and F21."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fault_calls import call, live_server, settled, start, until
from live_calls import Live
from receipts import assert_sound, nanos
from scripted_provider import chat_events, chat_reply, hang, sse_reply
from servers import running_server

LOSS_MAX = "0.0003"
LEFT_CALLS_MAX = 3
LEFT_LOSS_MAX = "0.00015"
LIMITS = (
    f'ejection_seconds = 0\nfirst_byte_seconds_max = 1\nloss_max = "{LOSS_MAX}"\n'
    f'left_calls_max = {LEFT_CALLS_MAX}\nleft_loss_max = "{LEFT_LOSS_MAX}"\n'
)


@pytest.fixture(scope="module")
def bounded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A server on which an organization may lose very little on a day."""
    with live_server(tmp_path_factory.mktemp("bounded"), LIMITS) as live:
        yield live


@pytest.fixture
def live(bounded: Live) -> Live:
    for provider in (bounded.first, bounded.second):
        provider.received.clear()
        provider.always = None
    account = bounded.server.account(mode="live", credit="5.00")
    return Live(bounded.server, bounded.first, bounded.second, bounded.images, account)


def losses(live: Live) -> dict[str, Any]:
    """The day's losses as the operator sees them."""
    found = json.loads(live.server.tessera("orgs", "losses", live.account.organization, "--json").stdout)
    assert len(found) <= 2, "a test may run over midnight, not over two"
    names = ("loss_nanos", "forgiven_nanos", "left_calls", "left_loss_nanos")
    return {name: sum(day[name] for day in found) for name in names}


def lost(live: Live) -> int:
    """What all receipts together say of the operator's loss."""
    receipts = live.get("/requests?limit=100")["data"]
    for receipt in receipts:
        assert_sound(receipt)
    entries = [entry for receipt in receipts for entry in receipt["entries"]]
    return -sum(entry["amount_nanos"] for entry in entries if entry["account"] == "operator_loss")


def test_past_loss_max_new_calls_are_refused_until_the_operator_lifts_it(live: Live) -> None:
    live.first.always = sse_reply(chat_events(["word "] * 8), cut_at=900)
    calls = 0
    while call(live, stream=True).status == 200:
        calls += 1
        assert settled(live)["outcome"] == "provider_error"
        assert calls < 50
    assert calls == len(live.first.received) > 1, "the provider cut every stream, and was not asked once more"
    refused = call(live)
    assert (refused.status, refused.error["code"], refused.error["reason"]) == (403, "organization_suspended", "loss")
    assert "more than the day's limit" in refused.error["message"]
    assert losses(live)["loss_nanos"] == lost(live)
    assert 0 <= lost(live) - nanos(LOSS_MAX) <= lost(live) // calls, "one call past the limit, and no more"
    assert live.get("/balance")["available"] == "5.00", "reads go on"
    listed = live.server.tessera("orgs", "list", "--json").stdout
    assert {one["id"]: one["suspended_for"] for one in json.loads(listed)}[live.account.organization_id] == "loss"

    live.server.tessera("orgs", "resume", live.account.organization)
    live.first.always = chat_reply()
    assert call(live).status == 200
    assert losses(live)["forgiven_nanos"] == lost(live)


def test_f03_the_lost_attempts_of_silent_providers_count_towards_loss_max(live: Live) -> None:
    live.first.always = live.second.always = hang()
    for _ in range(3):
        assert call(live).status == 504
    assert len(live.first.received) == len(live.second.received) == 3
    assert losses(live)["loss_nanos"] == lost(live) > 0


def leave(live: Live, **changes: Any) -> dict[str, Any]:
    """A client that hangs up while the provider is silent; the receipt."""
    before = len(live.first.received)
    live.first.script(hang())
    connection = start(live, **changes)
    until(lambda: len(live.first.received) > before)
    connection.close()
    assert live.first.received[-1].left_early.wait(10), "the provider was hung up on"
    receipt = settled(live)
    assert receipt["outcome"] == "client_disconnected"
    return receipt


@pytest.mark.parametrize("stream", [False, True])
def test_f14_leaving_before_the_first_token_is_free_a_few_times_a_day_and_paid_after_that(
    live: Live, stream: bool
) -> None:
    for _ in range(LEFT_CALLS_MAX):
        receipt = leave(live, stream=stream)
        assert (receipt["charge"]["nanos"], receipt["policy"]) == (0, "left-before-output")
    day = losses(live)
    assert (day["left_calls"], day["left_loss_nanos"]) == (LEFT_CALLS_MAX, lost(live))
    paid = leave(live, stream=stream)
    assert (paid["policy"], paid["usage"]["source"]) == ("left-past-allowance", "local")
    assert (paid["usage"]["input_tokens"], paid["usage"]["output_tokens"]) == (paid["predicted"]["input_tokens"], 0)
    assert 0 < paid["charge"]["nanos"] == paid["usage"]["input_tokens"] * 2_500
    assert losses(live) == day, "what is paid for is nobody's loss"
    assert live.get("/balance")["spent_nanos"] == paid["charge"]["nanos"]


def test_f14_one_dear_call_is_past_the_allowance_by_itself(live: Live) -> None:
    paid = leave(live, messages=[{"role": "user", "content": "word " * 100}])
    assert paid["policy"] == "left-past-allowance"
    assert paid["charge"]["nanos"] > nanos(LEFT_LOSS_MAX)
    assert losses(live)["left_calls"] == 0


def test_f14_a_model_that_thinks_before_it_speaks_is_paid_from_the_start(live: Live) -> None:
    paid = leave(live, model="gpt-5.2", stream=True)
    assert (paid["policy"], paid["usage"]["source"]) == ("left-while-thinking", "local")
    assert paid["charge"]["nanos"] > 0
    assert losses(live)["loss_nanos"] == 0


def test_f21_a_call_whose_process_was_killed_costs_its_customer_nothing_and_the_operator_its_input(
    tmp_path: Path,
) -> None:
    with live_server(tmp_path) as live:
        live.first.script(hang())
        connection = start(live)
        until(lambda: live.first.received)
        live.server.process.kill()
        live.server.process.wait()
        connection.close()
        config = (tmp_path / "tessera.toml").read_text()
        with running_server(tmp_path, config=config, env={"LOCAL_KEY": "sk-the-operators-own"}) as server:
            again = Live(server, live.first, live.second, live.images, live.account)
            receipt = settled(again)
            assert (receipt["status"], receipt["outcome"], receipt["charge"]["nanos"]) == ("expired", "expired", 0)
            assert losses(again)["loss_nanos"] == lost(again) == nanos(receipt["quote"]["price"]["input_predicted"])
            server.verify()
