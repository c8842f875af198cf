"""Responses: the counting view, and what is refused by which name."""

from contextlib import suppress
from typing import Any, get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.responses.response_create_params import ResponseCreateParamsStreaming

from tessera.domain.dialects.responses import FIELDS
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.request import Detail, ImageOrigin

from .bodies import FULL_RESPONSES, PNG, encoded, responses, responses_body
from .test_body import VALUES


def refusal(value: dict[str, Any]) -> TesseraError:
    with pytest.raises(TesseraError) as refused:
        responses(value)
    return refused.value


def user(*parts: object) -> dict[str, Any]:
    return responses_body(input=[{"role": "user", "content": list(parts)}])


def test_a_full_call_is_read() -> None:
    request = responses(FULL_RESPONSES)
    assert [m.role for m in request.messages] == [
        "developer",
        "user",
        "assistant",
        "assistant",
        "assistant",
        "assistant",
        "tool",
        "tool",
        "user",
    ]
    assert request.messages[4].texts == ("zoom", '{"x":1}')
    assert [(i.origin, i.detail) for i in request.images] == [
        (ImageOrigin.DATA, Detail.HIGH),
        (ImageOrigin.URL, Detail.AUTO),
    ]
    assert request.images[0].param == "input[0].content[1].image_url"
    assert request.tool_choice == "zoom"
    assert request.output_format.name == "answer"
    assert request.output_cap == 300
    assert request.text_bytes == len(encoded(FULL_RESPONSES)) - len(PNG)


def test_a_plain_string_is_a_user_message() -> None:
    request = responses(responses_body(instructions="Be kind."))
    assert [(m.role, m.texts) for m in request.messages] == [("developer", ("Be kind.",)), ("user", ("Hi",))]


def test_an_uploaded_image_is_named_by_its_id() -> None:
    found = responses(user({"type": "input_image", "file_id": "file-1"})).images[0]
    assert (found.origin, found.url, found.param) == (ImageOrigin.FILE, "file-1", "input[0].content[0].file_id")


def test_an_image_in_a_tool_result_counts() -> None:
    output = [{"type": "input_image", "image_url": "https://a/b", "detail": "low"}]
    request = responses(responses_body(input=[{"type": "function_call_output", "call_id": "c", "output": output}]))
    assert request.images[0].param == "input[0].output[0].image_url"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("previous_response_id", "resp_1"),
        ("conversation", {"id": "conv_1"}),
        ("prompt", {"id": "pmpt_1"}),
        ("background", True),
        ("background_options", {"completion_window": "2h"}),
        ("context_management", [{"type": "compaction"}]),
        ("prompt_cache_retention", "24h"),
        ("image", {"context_compression": "enabled"}),
        ("moderation", {"model": "m"}),
        ("access_programs", {"cyber": "standard"}),
        ("n", 2),
        ("base_url", "http://10.0.0.1"),
    ],
)
def test_what_could_change_the_price_is_refused_by_name(field: str, value: object) -> None:
    refused = refusal(responses_body(**{field: value}))
    assert (refused.code, refused.param) == (ErrorCode.UNSUPPORTED_PARAMETER, field)
    responses(responses_body(**{field: None}))


@pytest.mark.parametrize(
    "kind",
    [
        "web_search",
        "web_search_preview",
        "file_search",
        "code_interpreter",
        "image_generation",
        "computer_use_preview",
        "computer",
        "mcp",
        "shell",
        "local_shell",
        "apply_patch",
        "tool_search",
        "namespace",
    ],
)
def test_hosted_tools_are_refused(kind: str) -> None:
    refused = refusal(responses_body(tools=[{"type": kind, "name": "x"}]))
    assert (refused.code, refused.param) == (ErrorCode.UNSUPPORTED_PARAMETER, "tools[0].type")


@pytest.mark.parametrize(
    "kind", ["item_reference", "file_search_call", "image_generation_call", "mcp_call", "compaction", "program", 1, []]
)
def test_items_of_unknown_size_are_refused(kind: object) -> None:
    refused = refusal(responses_body(input=[{"type": kind, "id": "x"}]))
    assert (refused.code, refused.param) == (ErrorCode.UNSUPPORTED_PARAMETER, "input[0].type")


@pytest.mark.parametrize("kind", ["input_file", "input_audio", "input_video", "text", "image_url"])
def test_unknown_parts_are_refused(kind: str) -> None:
    refused = refusal(user({"type": kind}))
    assert (refused.code, refused.param) == (ErrorCode.UNSUPPORTED_PARAMETER, "input[0].content[0].type")


@pytest.mark.parametrize(
    "more",
    [{}, {"encrypted_content": None}, {"encrypted_content": ""}, {"content": [{"type": "reasoning_text", "text": ""}]}],
)
def test_reasoning_that_only_the_provider_has_is_noticed(more: dict[str, Any]) -> None:
    item = {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "hm"}], **more}
    assert responses(responses_body(input=[{"role": "user", "content": "a"}, item])).stored_reasoning == "input[1]"


@pytest.mark.parametrize(
    ("field", "value", "advice"),
    [
        ("previous_response_id", "resp_1", "send the earlier turns themselves"),
        ("conversation", "conv_1", "send the earlier turns themselves"),
        ("prompt", {"id": "pmpt_1"}, "send the prompt itself"),
        ("background", True, "leave it out"),
    ],
)
def test_what_is_kept_at_a_provider_is_refused_with_what_to_do(field: str, value: object, advice: str) -> None:
    error = refusal(responses_body(**{field: value}))
    assert (error.code, error.param) == (ErrorCode.UNSUPPORTED_PARAMETER, field)
    assert advice in error.message


def test_a_reference_to_an_item_is_refused_with_what_to_do() -> None:
    error = refusal(responses_body(input=[{"type": "item_reference", "id": "rs_1"}]))
    assert (error.code, error.param) == (ErrorCode.UNSUPPORTED_PARAMETER, "input[0].type")
    assert "send the item itself" in error.message
    assert "store: false" in error.message


@pytest.mark.parametrize(
    "more",
    [
        {"id": "rs_1", "encrypted_content": "gAAAA"},
        {"id": "rs_1", "content": [{"type": "reasoning_text", "text": "gAAAA"}]},
        {"summary": [{"type": "summary_text", "text": "gAAAA"}]},
    ],
)
def test_reasoning_that_stands_in_the_call_is_counted(more: dict[str, Any]) -> None:
    request = responses(responses_body(input=[{"type": "reasoning", "summary": [], **more}]))
    assert "".join(request.messages[0].texts) == "gAAAA"
    assert not request.stored_reasoning


@pytest.mark.parametrize("field", ["summary", "content"])
def test_a_part_of_reasoning_is_text_and_carries_no_image(field: str) -> None:
    part = {"type": "input_image", "text": "hm", "image_url": "https://example.com/large.png"}
    refused = refusal(responses_body(input=[{"type": "reasoning", field: [part]}]))
    assert (refused.code, refused.param) == (ErrorCode.UNSUPPORTED_PARAMETER, f"input[0].{field}[0].image_url")


def test_what_the_client_for_node_parsed_out_of_an_answer_is_counted_when_it_comes_back() -> None:
    part = {"type": "output_text", "text": "{}", "annotations": [], "parsed": {"a": "long title"}}
    call = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}", "parsed_arguments": {"b": 1}}
    said, called = responses(responses_body(input=[{"role": "assistant", "content": [part]}, call])).messages
    assert said.texts == ("{}", '{"a":"long title"}')
    assert called.texts == ("f", "{}", '{"b":1}')
    left_out = [{"role": "assistant", "content": [part | {"parsed": None}]}, call | {"parsed_arguments": None}]
    assert [message.texts for message in responses(responses_body(input=left_out)).messages] == [("{}",), ("f", "{}")]


def test_reasoning_that_costs_more_is_refused() -> None:
    assert refusal(responses_body(reasoning={"mode": "pro"})).param == "reasoning.mode"
    responses(responses_body(reasoning={"mode": "standard", "effort": "high", "summary": "auto"}))


@pytest.mark.parametrize("bad", [0, -1, 2**31, 2**63, 1.5, 16.0, True, "100", [], {}])
def test_the_cap_is_a_whole_number_of_at_least_one(bad: object) -> None:
    assert refusal(responses_body(max_output_tokens=bad)).param == "max_output_tokens"


@pytest.mark.parametrize("given", [None, "", 0, [], {}, [1], [None], [{}], [{"role": "robot", "content": "x"}]])
def test_bad_input_is_refused(given: object) -> None:
    if given == "":
        responses(responses_body(input=given))
    else:
        assert refusal(responses_body(input=given)).param


@pytest.mark.parametrize(
    ("part", "code"),
    [
        ({}, ErrorCode.INVALID_REQUEST),
        ({"image_url": "https://a/b", "file_id": "f"}, ErrorCode.INVALID_REQUEST),
        ({"image_url": {"url": "https://a/b"}}, ErrorCode.INVALID_REQUEST),
        ({"image_url": "gopher://a"}, ErrorCode.INVALID_IMAGE_URL),
        ({"image_url": "data:image/png;base64,"}, ErrorCode.INVALID_BASE64_IMAGE),
        ({"image_url": "https://a/b", "detail": "max"}, ErrorCode.UNSUPPORTED_DETAIL),
    ],
)
def test_bad_images_are_refused(part: dict[str, Any], code: ErrorCode) -> None:
    refused = refusal(user({"type": "input_image", **part}))
    assert refused.code is code
    assert (refused.param or "").startswith("input[0].content[0]")


def test_every_field_of_the_official_client_is_decided() -> None:
    assert set(get_type_hints(ResponseCreateParamsStreaming)) <= set(FIELDS)


@settings(max_examples=300)
@given(
    st.dictionaries(st.sampled_from([*FIELDS, "other"]), VALUES, max_size=6),
    st.lists(
        st.dictionaries(st.sampled_from(["type", "role", "content", "output", "call_id", "summary"]), VALUES),
        max_size=2,
    ),
    st.sampled_from([None, "message", "function_call", "function_call_output", "reasoning"]),
)
def test_nothing_but_a_refusal_comes_out_of_random_fields(more: dict[str, Any], items: list[Any], kind: object) -> None:
    for item in items:
        if kind is not None:
            item["type"] = kind
    for value in (responses_body(**more), {**responses_body(**more), "input": items}):
        with suppress(TesseraError):
            responses(value)
