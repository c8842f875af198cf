"""Streams as servers other than OpenAI write them: nothing of them is lost, said twice, or believed too soon."""

from typing import Any

import pytest

from tessera.domain.dialects.relay import StreamRelay
from tessera.domain.request import Surface

from .streams import (
    CALL,
    CHAT_USAGE,
    DONE,
    RECEIPT,
    RESPONSE,
    RESPONSES_TOOLS,
    USAGE,
    chunk,
    frame,
    message,
    read_chat,
    read_responses,
    relay,
    run,
)

C, R = Surface.CHAT, Surface.RESPONSES
AZURE_FIRST = frame({"id": "", "object": "", "created": 0, "model": "", "choices": [], "prompt_filter_results": [{}]})


def called(number: int | None, name: str | None = None, **more: Any) -> bytes:
    """A chunk with one piece of a call; without a number when that is None."""
    call = {"type": "function", "function": {"name": name, "arguments": more.pop("arguments", "")}, **more}
    return frame(chunk({"tool_calls": [call if number is None else {"index": number, **call}]}))


def calls_said(stream: list[bytes]) -> list[tuple[str, str, str]]:
    """The calls of a chat stream that is said as a response: id, name, arguments."""
    events = read_responses(run([*stream, frame(chunk({}, "tool_calls")), CHAT_USAGE, DONE], C, R))
    return [(item.call_id, item.name, item.arguments) for item in events[-1].response.output]


def test_an_answer_is_called_by_the_first_id_that_comes_not_by_an_empty_one() -> None:
    answer = [AZURE_FIRST, frame(chunk({"content": "A cat."})), frame(chunk({}, "stop")), DONE]
    assert b'"id":"chatcmpl-1"' in run(answer, C, C).split(b"data: ")[-2]
    events = read_responses(run(answer, C, R))
    assert {event.response.id for event in events if hasattr(event, "response")} == {"resp_1"}
    assert events[-1].response.created_at == 1


@pytest.mark.parametrize("upstream", [C, R])
def test_an_answer_without_an_id_is_called_after_its_call(upstream: Surface) -> None:
    through = StreamRelay(
        upstream,
        R if upstream is C else C,
        include_usage=True,
        model="m",
        fallback_id="7f",
    )
    start = {"choices": [{"index": 0, "delta": {"content": "A cat."}}]}
    if upstream is R:
        start = {"type": "response.created", "response": {**RESPONSE, "id": None}}
    said = b"".join(through.feed(frame(start)))
    assert (b'"resp_7f"' if upstream is C else b'"chatcmpl-7f"') in said


def test_an_empty_finish_reason_is_no_end() -> None:
    through = relay(C, C)
    through.feed(frame(chunk({"content": "A cat"}, "")))
    through.end()
    assert not through.finished
    assert through.facts.finish_reason is None


def test_comments_before_the_answer_begins_leave_it_to_another_provider() -> None:
    for caller in (C, R):
        through = relay(C, caller)
        assert through.feed(b": PROCESSING\n\n") == []
        through.feed(frame(chunk({"role": "assistant"})))
        assert through.feed(b": PROCESSING\n\n") == [b": PROCESSING\n\n"]


def test_usage_beside_text_comes_at_the_end_with_all_that_the_provider_wrote() -> None:
    usage = {**USAGE, "prompt_cache_hit_tokens": 3, "cost": 5.0}
    answer = [frame(chunk({"content": "A cat."})), frame(chunk({}, "stop", usage=usage)), DONE]
    last = read_chat(run(answer, C, C))[-1].usage
    assert last is not None
    assert last.model_extra == {
        "prompt_cache_hit_tokens": 3,
        "charge": "0.01",
        "charge_nanos": 10_000_000,
        "request_id": "req_1",
        "cost": 0.01,
    }


def test_usage_that_was_taken_back_is_not_shown() -> None:
    first, then = ({**USAGE, "extra": 1}, {**USAGE, "completion_tokens": -1})
    answer = [frame(chunk({}, "stop", usage=first)), frame(chunk({}, usage=then)), DONE]
    last = read_chat(run(answer, C, C))[-1].usage
    assert last is not None
    assert last.prompt_tokens == RECEIPT.usage.input_tokens


@pytest.mark.parametrize(
    ("pieces", "said"),
    [
        # Gemini and earlier Ollama: no numbers, or all of them 0.
        (
            [called(None, "a", id="1", arguments="{}"), called(None, "b", id="2", arguments="{}")],
            [("1", "a", "{}"), ("2", "b", "{}")],
        ),
        (
            [called(0, "a", id="1", arguments="{}"), called(0, "b", id="2", arguments="{}")],
            [("1", "a", "{}"), ("2", "b", "{}")],
        ),
        # The same function twice, with its pieces after it.
        (
            [called(0, "a", id="1"), called(0, arguments="{"), called(0, arguments="}"), called(1, "a", id="2")],
            [("1", "a", "{}"), ("2", "a", "")],
        ),
        # The id and the name again with every piece.
        ([called(0, "a", id="1", arguments="{"), called(0, "a", id="1", arguments="}")], [("1", "a", "{}")]),
        # Earlier vLLM: a new id with every piece, the name with the first only.
        ([called(0, "a", id="1", arguments="{"), called(0, id="2", arguments="}")], [("1", "a", "{}")]),
        # The id after the name.
        ([called(0, "a"), called(0, "a", id="1", arguments="{}")], [("call_1_0", "a", "{}")]),
        # The name after the id.
        ([called(0, id="1"), called(0, "a", arguments="{}")], [("1", "a", "{}")]),
    ],
)
def test_calls_are_told_apart_however_they_are_numbered(pieces: list[bytes], said: list[tuple[str, str, str]]) -> None:
    assert calls_said(pieces) == said


def test_thoughts_in_parts_are_said_as_reasoning_whose_part_is_there_before_its_text() -> None:
    thoughts = {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}]}
    for delta in (thoughts, {"reasoning": "Hm."}):
        answer = [frame(chunk(delta)), frame(chunk({"content": "A cat."})), frame(chunk({}, "stop")), DONE]
        events = read_responses(run(answer, C, R))
        of_reasoning = [event.type for event in events if getattr(event, "output_index", None) == 0]
        assert of_reasoning == [
            "response.output_item.added",
            "response.content_part.added",
            "response.reasoning_text.delta",
            "response.reasoning_text.done",
            "response.content_part.done",
            "response.output_item.done",
        ]
        assert events[-1].response.output[0].content[0].text == "Hm."
        assert events[-1].response.output_text == "A cat."


def told(stream: list[bytes]) -> tuple[str, list[tuple[str, str]]]:
    """What a stream of responses says in chat: the text, and each call's id and arguments."""
    text, calls = "", {}
    for piece in read_chat(run(stream, R, C)):
        for choice in piece.choices:
            text += choice.delta.content or choice.delta.refusal or ""
            for call in choice.delta.tool_calls or ():
                name, so_far = calls.get(call.index, (call.id, ""))
                assert call.function is not None
                calls[call.index] = (name, so_far + (call.function.arguments or ""))
    return text, list(calls.values())


def events(*kinds: tuple[str, dict[str, Any]]) -> list[bytes]:
    said = [
        {"type": f"response.{kind}", "sequence_number": number, **more} for number, (kind, more) in enumerate(kinds)
    ]
    return [frame(event, event["type"]) for event in said]


CREATED = ("created", {"response": RESPONSE})
COMPLETED = ("completed", {"response": {**RESPONSE, "status": "completed", "output": [message("Look:"), CALL]}})


def test_what_only_the_last_event_says_is_said() -> None:
    assert told(events(CREATED, COMPLETED)) == ("Look:", [("call_1", '{"x":1}')])
    refused = {**message(""), "content": [{"type": "refusal", "refusal": "No."}]}
    last = ("completed", {"response": {**RESPONSE, "status": "completed", "output": [refused]}})
    assert told(events(CREATED, last)) == ("No.", [])


def test_what_only_the_done_item_says_is_said() -> None:
    stream = events(
        CREATED,
        ("output_item.added", {"output_index": 0, "item": {**message(""), "content": []}}),
        ("output_item.done", {"output_index": 0, "item": message("Look:")}),
        ("output_item.added", {"output_index": 1, "item": {**CALL, "arguments": ""}}),
        ("output_item.done", {"output_index": 1, "item": CALL}),
        COMPLETED,
    )
    assert told(stream) == ("Look:", [("call_1", '{"x":1}')])


def test_what_came_in_pieces_is_not_said_again() -> None:
    assert told(RESPONSES_TOOLS) == ("Look:", [("call_1", '{"x":1}'), ("call_2", '{"x":1}')])
    begun_whole = events(
        CREATED,
        ("output_item.added", {"output_index": 0, "item": CALL}),
        ("function_call_arguments.delta", {"output_index": 0, "item_id": "fc_1", "delta": '{"x":1}'}),
        ("output_item.done", {"output_index": 0, "item": CALL}),
        COMPLETED,
    )
    assert told(begun_whole) == ("", [("call_1", '{"x":1}')])
    unplaced = events(
        CREATED, ("output_text.delta", {"delta": "Look:"}), ("output_item.done", {"item": message("Look:")}), COMPLETED
    )
    assert told(unplaced) == ("Look:", [])


@pytest.mark.parametrize("item", ["x", {"type": "message", "content": ["x"]}, {"type": "message", "content": 5}])
def test_an_item_that_makes_no_sense_is_an_error(item: object) -> None:
    for kind, more in (
        ("output_item.done", {"output_index": 0, "item": item}),
        ("completed", {"response": {**RESPONSE, "status": "completed", "output": [CALL, item]}}),
    ):
        through = relay(R, C)
        for piece in events(CREATED, (kind, more)):
            through.feed(piece)
        assert through.error is not None
