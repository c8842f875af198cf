"""Chat completions: the counting view, and what is refused by which name."""

import json
from contextlib import suppress
from typing import Any, get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.chat.completion_create_params import CompletionCreateParamsStreaming

from tessera.domain.dialects.chat import FIELDS
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.request import Detail, ImageOrigin, Tier

from .bodies import DATA_URL, FULL_CHAT, PNG, SCHEMA, chat, chat_body, encoded
from .test_body import VALUES


def refusal(value: dict[str, Any]) -> TesseraError:
    with pytest.raises(TesseraError) as refused:
        chat(value)
    return refused.value


def user(*parts: object) -> dict[str, Any]:
    return chat_body(messages=[{"role": "user", "content": list(parts)}])


def image(**source: object) -> dict[str, Any]:
    return {"type": "image_url", "image_url": source}


def test_a_full_call_is_read() -> None:
    request = chat(FULL_CHAT)
    assert request.model == "gpt-4o"
    assert [m.role for m in request.messages] == ["developer", "user", "assistant", "tool", "tool", "user"]
    assert request.messages[2].texts == ("Let me look.", "zoom", '{"x":1}', "zoom", '{"x":2}')
    first, second = request.images
    assert (first.origin, first.detail, first.media_type) == (ImageOrigin.DATA, Detail.HIGH, "image/png")
    assert first.data is not None
    assert bytes(first.data) == PNG.encode()
    assert first.param == "messages[1].content[1].image_url.url"
    assert (second.origin, second.detail, second.url) == (ImageOrigin.URL, Detail.AUTO, "https://example.com/b.jpg")
    assert request.tools[0].parameters == json.dumps(SCHEMA).encode()
    assert request.tool_choice == "zoom"
    assert (request.output_format.kind, request.output_format.name) == ("json_schema", "answer")
    assert request.output_format.schema == json.dumps(SCHEMA).encode()
    assert request.output_cap == 300
    assert request.tier is Tier.DEFAULT
    assert (request.stream, request.include_usage) == (True, False)
    assert request.text_bytes == len(encoded(FULL_CHAT)) - len(PNG)


def test_a_schema_is_kept_exactly_as_written() -> None:
    written = '{ "type" :"object",  "properties": {"b":{}, "a":{"\\u0061":1.50}} }'
    raw = json.dumps(chat_body(tools=[{"type": "function", "function": {"name": "f", "parameters": 0}}]))
    from tessera.domain.dialects.body import open_body
    from tessera.domain.dialects.chat import parse_chat

    request = parse_chat(open_body(raw.replace('"parameters": 0', f'"parameters": {written}').encode()))
    assert request.tools[0].parameters == written.encode()


def test_text_that_happens_to_be_a_long_data_url_counts_as_text() -> None:
    request = chat(user({"type": "text", "text": DATA_URL}))
    assert request.messages[0].texts == (DATA_URL,)
    assert request.text_bytes == len(encoded(user({"type": "text", "text": DATA_URL})))


def test_the_larger_of_both_caps_counts() -> None:
    assert chat(chat_body(max_tokens=5, max_completion_tokens=9)).output_cap == 9
    assert chat(chat_body(max_tokens=50, max_completion_tokens=9)).output_cap == 50
    assert chat(chat_body(max_tokens=None)).output_cap is None


def test_a_choice_among_some_tools_is_not_the_plain_one() -> None:
    for mode, choice in (("auto", "allowed"), ("required", "required")):
        some = {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": []}}
        assert chat(chat_body(tool_choice=some)).tool_choice == choice


def test_a_custom_tool_is_known_as_one() -> None:
    function = {"type": "function", "function": {"name": "f"}}
    tools = chat(chat_body(tools=[function, {"type": "custom", "custom": {"name": "c"}}])).tools
    assert [tool.custom for tool in tools] == [False, True]


@pytest.mark.parametrize(
    ("word", "tier"),
    [
        ("auto", None),
        ("default", Tier.DEFAULT),
        ("flex", Tier.FLEX),
        ("priority", Tier.PRIORITY),
        ("fast", Tier.PRIORITY),
    ],
)
def test_tiers_have_one_name_each(word: str, tier: Tier | None) -> None:
    assert chat(chat_body(service_tier=word)).tier is tier


@pytest.mark.parametrize("word", ["scale", "ultrafast", "batch", "", "Default", 1, True, {}, []])
def test_other_tiers_are_refused(word: object) -> None:
    refused = refusal(chat_body(service_tier=word))
    assert (refused.code, refused.param) == (ErrorCode.UNSUPPORTED_SERVICE_TIER, "service_tier")


@pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens", "n"])
@pytest.mark.parametrize("bad", [0, -1, -(2**31), 2**31, 2**53, 2**63, 2**64, 1.0, 1e300, True, False, "1", [], {}])
def test_numbers_that_decide_a_price_are_whole_and_in_range(field: str, bad: object) -> None:
    refused = refusal(chat_body(**{field: bad}))
    assert (refused.code, refused.param) == (ErrorCode.INVALID_REQUEST, field)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("prediction", {"type": "content", "content": "x"}),
        ("audio", {"voice": "alloy", "format": "mp3"}),
        ("modalities", ["text", "audio"]),
        ("web_search_options", {}),
        ("prompt_cache_retention", "24h"),
        ("background", True),
        ("best_of", 2),
        ("previous_response_id", "resp_1"),
        ("conversation", "conv_1"),
        ("prompt", {"id": "pmpt_1"}),
        ("moderation", {"model": "m"}),
        ("base_url", "http://169.254.169.254"),
        ("api_base", "http://10.0.0.1"),
        ("custom_llm_provider", "x"),
        ("provider", {"order": []}),
        ("fallbacks", ["x"]),
        ("__proto__", {}),
        ("__class__", "x"),
        ("{0.__class__}", "x"),
    ],
)
def test_what_could_change_the_price_or_the_provider_is_refused_by_name(field: str, value: object) -> None:
    refused = refusal(chat_body(**{field: value}))
    assert (refused.code, refused.param) == (ErrorCode.UNSUPPORTED_PARAMETER, field)
    assert field in refused.message
    chat(chat_body(**{field: None}))


def test_a_longer_cache_is_refused_wherever_it_is_asked_for() -> None:
    assert refusal(chat_body(prompt_cache_options={"ttl": "12h"})).param == "prompt_cache_options.ttl"
    part = {"type": "text", "text": "x", "prompt_cache_breakpoint": {"mode": "explicit", "ttl": "12h"}}
    assert refusal(user(part)).param == "messages[0].content[0].prompt_cache_breakpoint.ttl"
    chat(chat_body(prompt_cache_options={"ttl": "30m", "mode": "implicit"}, prompt_cache_retention="in_memory"))


@pytest.mark.parametrize("kind", ["file", "input_audio", "video_url", "input_image", "", "x" * 10_000])
def test_unknown_parts_are_refused(kind: str) -> None:
    refused = refusal(user({"type": "text", "text": "x"}, {"type": kind, kind: {}}))
    assert (refused.code, refused.param) == (ErrorCode.UNSUPPORTED_PARAMETER, "messages[0].content[1].type")
    assert len(refused.message) < 300


@pytest.mark.parametrize("kind", ["web_search", "file_search", "code_interpreter", "mcp", "image_generation"])
def test_hosted_tools_are_refused(kind: str) -> None:
    refused = refusal(chat_body(tools=[{"type": kind}]))
    assert (refused.code, refused.param) == (ErrorCode.UNSUPPORTED_PARAMETER, "tools[0].type")


def test_an_address_in_the_place_of_its_object_is_refused_with_what_to_write() -> None:
    refused = refusal(user({"type": "image_url", "image_url": "https://a/b"}))
    assert (refused.code, refused.param) == (ErrorCode.INVALID_REQUEST, "messages[0].content[0].image_url")
    assert '{"url": ' in refused.message


@pytest.mark.parametrize("detail", ["ultra", "HIGH", "", 1, True, [], {}])
def test_an_unknown_detail_is_refused(detail: object) -> None:
    refused = refusal(user(image(url="https://a/b", detail=detail)))
    assert (refused.code, refused.param) == (ErrorCode.UNSUPPORTED_DETAIL, "messages[0].content[0].image_url.detail")


@pytest.mark.parametrize("detail", ["low", "high", "auto", "original", None])
def test_known_details_pass(detail: str | None) -> None:
    assert chat(user(image(url="https://a/b", detail=detail))).images[0].detail == (detail or "auto")


@pytest.mark.parametrize(
    "url", ["", "ftp://a/b", "file:///etc/passwd", "//a/b", " https://a", "javascript:1", "h" * 9000]
)
def test_addresses_are_http_or_data(url: str) -> None:
    assert refusal(user(image(url=url))).code is ErrorCode.INVALID_IMAGE_URL


@pytest.mark.parametrize("url", ["data:image/png,abc", "data:image/png;base64,", "data:", "data:image/png;base64"])
def test_data_urls_are_base64(url: str) -> None:
    assert refusal(user(image(url=url))).code is ErrorCode.INVALID_BASE64_IMAGE


@pytest.mark.parametrize(
    ("message", "param"),
    [
        ({"role": "robot", "content": "x"}, "messages[0].role"),
        ({"role": ["user"], "content": "x"}, "messages[0].role"),
        ({"role": "user"}, "messages[0].content"),
        ({"role": "user", "content": 1}, "messages[0].content"),
        ({"role": "user", "content": "x", "images": ["aGk="]}, "messages[0].images"),
        ({"role": "system", "content": [image(url="https://a/b")]}, "messages[0].content[0]"),
        ({"role": "assistant", "tool_calls": [{"id": "1", "type": "mcp"}]}, "messages[0].tool_calls[0].type"),
        (
            {"role": "assistant", "tool_calls": [{"id": "1", "function": {"name": "f"}}]},
            "messages[0].tool_calls[0].function.arguments",
        ),
        (
            {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]},
            "messages[0].tool_calls[0].id",
        ),
        (
            {"role": "assistant", "tool_calls": [{"id": [], "type": "custom", "custom": {"name": "f", "input": ""}}]},
            "messages[0].tool_calls[0].id",
        ),
        ({"role": "tool", "content": "x"}, "messages[0].tool_call_id"),
        ({"role": "user", "content": "x", "tool_calls": [{"function": {}}]}, "messages[0]"),
        ({"role": "user", "content": "x", "tool_call_id": "hidden words"}, "messages[0].tool_call_id"),
        ({"role": "assistant", "content": "x", "reasoning_content": ["x"]}, "messages[0].reasoning_content"),
    ],
)  # fmt: skip
def test_bad_messages_are_named(message: dict[str, Any], param: str) -> None:
    assert refusal(chat_body(messages=[message])).param == param


@pytest.mark.parametrize("field", ["content", "name"])
def test_a_text_that_looks_like_a_data_url_is_counted_as_it_was_written(field: str) -> None:
    long = "data:," + "word " * 2000
    (message,) = chat(chat_body(messages=[{"role": "user", "content": "x", field: long}])).messages
    assert (message.texts[0] if field == "content" else message.name) == long


@pytest.mark.parametrize("role", ["assistant", "user", "system"])
@pytest.mark.parametrize("field", ["refusal", "reasoning_content", "reasoning"])
def test_what_a_message_says_beside_its_content_is_counted(role: str, field: str) -> None:
    (message,) = chat(chat_body(messages=[{"role": role, "content": "x", field: "more words"}])).messages
    assert message.texts == ("x", "more words")
    if role == "assistant":
        (alone,) = chat(chat_body(messages=[{"role": role, field: "more words"}])).messages
        assert alone.texts == ("more words",)


@pytest.mark.parametrize(
    ("field", "told"),
    [
        ("annotations", [{"type": "url_citation", "url_citation": {"title": "long title"}}]),
        ("parsed", {"steps": ["long title"]}),
        ("reasoning_details", [{"type": "reasoning.text", "text": "long title", "signature": "s", "index": 0}]),
        ("reasoning_details", [{"type": "reasoning.encrypted", "data": "long title", "id": "rs_1"}]),
        ("extra_content", {"google": {"thought_signature": "long title"}}),
    ],
)
def test_what_an_answer_that_is_sent_back_has_beside_it_is_counted_as_it_is_written(field: str, told: Any) -> None:
    answer = {"role": "assistant", "content": "x", field: told}
    (message,) = chat(chat_body(messages=[answer])).messages
    assert message.texts[0] == "x"
    assert "long title" in message.texts[1]
    (empty,) = chat(chat_body(messages=[answer | {field: None}])).messages
    assert empty.texts == ("x",)


def test_thoughts_that_are_parts_of_an_answer_are_counted() -> None:
    thoughts = {"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}], "closed": True}
    answer = {"role": "assistant", "content": [thoughts, {"type": "text", "text": "A cat."}], "prefix": False}
    assert chat(chat_body(messages=[answer])).messages[0].texts == ("Hm.", "A cat.")
    assert refusal(user(thoughts)).param == "messages[0].content[0].type"


@pytest.mark.parametrize(
    ("beside", "param"),
    [
        ({"reasoning_details": [{"type": "reasoning.encrypted", "id": "rs_1"}]}, "reasoning_details[0]"),
        ({"reasoning_details": ["rs_1"]}, "reasoning_details[0]"),
        ({"extra_content": {"google": {"cached_content": "c"}}}, "extra_content.google.cached_content"),
        ({"prefix": True}, "prefix"),
    ],
)
def test_what_stands_for_more_than_it_says_is_refused_beside_an_answer(beside: dict[str, Any], param: str) -> None:
    answer = {"role": "assistant", "content": "x", **beside}
    assert refusal(chat_body(messages=[answer])).param == f"messages[0].{param}"


@pytest.mark.parametrize("messages", [None, [], "x", {}, [1], ["x"], [None]])
def test_messages_are_required(messages: object) -> None:
    assert refusal(chat_body(messages=messages)).code is ErrorCode.INVALID_REQUEST


@pytest.mark.parametrize("model", [None, "", 1, [], True])
def test_a_model_is_required(model: object) -> None:
    assert refusal(chat_body(model=model)).param == "model"


def test_every_field_of_the_official_client_is_decided() -> None:
    assert set(get_type_hints(CompletionCreateParamsStreaming)) <= set(FIELDS)


def test_how_an_open_model_samples_and_whether_it_thinks_may_be_said() -> None:
    sampling = {"top_k": 20, "min_p": 0, "repetition_penalty": 1.05, "chat_template_kwargs": {"enable_thinking": False}}
    assert chat(chat_body(**sampling)).model == "gpt-4o"


@pytest.mark.parametrize(
    ("field", "value", "param"),
    [
        ("top_k", 1.5, "top_k"),
        ("min_p", "0", "min_p"),
        ("repetition_penalty", [1], "repetition_penalty"),
        ("chat_template_kwargs", {"builtin_tools": ["browser"]}, "chat_template_kwargs.builtin_tools"),
        ("chat_template_kwargs", {"enable_thinking": "no"}, "chat_template_kwargs.enable_thinking"),
    ],
)
def test_other_words_for_a_template_and_values_of_another_kind_are_refused(field: str, value: Any, param: str) -> None:
    assert refusal(chat_body(**{field: value})).param == param


@settings(max_examples=300)
@given(
    st.dictionaries(st.sampled_from([*FIELDS, "other"]), VALUES, max_size=6),
    st.lists(
        st.dictionaries(st.sampled_from(["role", "content", "name", "tool_calls"]), VALUES, max_size=4), max_size=2
    ),
)
def test_nothing_but_a_refusal_comes_out_of_random_fields(more: dict[str, Any], messages: list[Any]) -> None:
    for value in (chat_body(**more), {**chat_body(**more), "messages": messages}):
        with suppress(TesseraError):
            chat(value)


@given(
    st.recursive(
        VALUES, lambda v: st.dictionaries(st.sampled_from(["type", "text", "image_url", "url"]), v), max_leaves=8
    )
)
def test_nothing_but_a_refusal_comes_out_of_random_parts(part: Any) -> None:
    with suppress(TesseraError):
        chat(user(part))
