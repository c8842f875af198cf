"""Counting text: the Cookbook's printed examples, special tokens, bounds where nothing is published, long inputs."""

import json
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tessera.adapters.tokenizers import counter_for
from tessera.catalog.framing import find_framing
from tessera.catalog.image_rules import find_image_rules
from tessera.domain.request import (
    Detail,
    ImageOrigin,
    ImagePart,
    InferenceRequest,
    Message,
    OutputFormat,
    Surface,
    Tool,
)
from tessera.domain.tokens import Confidence, count_request, count_text
from tessera.domain.tokens.slices import SLICE_CHARS, count_sliced
from tessera.domain.tokens.texts import TEXT_CHARS_COUNTED_MAX

O200K = counter_for("o200k_base")
TRANSLATION = (
    (
        "system",
        None,
        "You are a helpful, pattern-following assistant that translates corporate jargon into plain English.",
    ),
    ("system", "example_user", "New synergies will help drive top-line growth."),
    ("system", "example_assistant", "Things working well together will increase revenue."),
    (
        "system",
        "example_user",
        "Let's circle back when we have more bandwidth to touch base on opportunities for increased leverage.",
    ),
    ("system", "example_assistant", "Let's talk later when we're less busy about how to do better."),
    ("user", None, "This late pivot means we don't have time to boil the ocean for the client deliverable."),
)
WEATHER = (
    ("system", None, "You are a helpful assistant that can answer to questions about the weather."),
    ("user", None, "What's the weather like in San Francisco?"),
)
WEATHER_TOOL = Tool(
    name="get_current_weather",
    description="Get the current weather in a given location",
    parameters=json.dumps(
        {
            "type": "object",
            "properties": {
                "location": {"type": "string", "description": "The city and state, e.g. San Francisco, CA"},
                "unit": {
                    "type": "string",
                    "description": "The unit of temperature to return",
                    "enum": ["celsius", "fahrenheit"],
                },
            },
            "required": ["location"],
        }
    ).encode(),
)

NO_VALUES = b'{"type":"object","properties":{"a":{"type":"string","description":"x","enum":[]}}}'
LONG = "word " * 1000


def request_of(messages, surface: Surface = Surface.CHAT, **fields: object) -> InferenceRequest:
    return InferenceRequest(
        surface=surface,
        model="m",
        messages=tuple(Message(role=role, name=name, texts=(text,)) for role, name, text in messages),
        **fields,  # type: ignore[arg-type]
    )


def count(model: str, request: InferenceRequest):
    framing = find_framing(model)
    return count_text(request, framing, counter_for(framing.encoding))


@pytest.mark.parametrize(
    ("model", "tokens"), [("gpt-4o", 124), ("gpt-4o-mini", 124), ("gpt-4", 129), ("gpt-3.5-turbo", 129)]
)
def test_the_cookbooks_message_example_is_exact(model, tokens):
    span, confidence = count(model, request_of(TRANSLATION))
    assert (span.predicted, span.max, confidence) == (tokens, tokens, Confidence.PUBLISHED)


@pytest.mark.parametrize(("model", "tokens"), [("gpt-4o", 101), ("gpt-3.5-turbo", 105), ("gpt-4", 105)])
def test_the_cookbooks_tool_example_is_exact(model, tokens):
    span, confidence = count(model, request_of(WEATHER, tools=(WEATHER_TOOL,)))
    assert (span.predicted, span.max, confidence) == (tokens, tokens, Confidence.PUBLISHED)


@pytest.mark.parametrize("model", ["gpt-5.2-pro", "gpt-6-astra", "claude-opus-4-7", "gemini-2.5-pro", "my-own-model"])
def test_unpublished_framing_is_held_at_bytes_plus_the_reserve(model):
    request = request_of(WEATHER, text_bytes=777)
    framing = find_framing(model)
    span, confidence = count(model, request)
    assert span.max == 777 + framing.reserve_tokens + 2 * framing.reserve_per_message
    assert framing.reserve_tokens > 0
    assert confidence in (Confidence.INFERRED, Confidence.UNKNOWN)


def test_without_a_body_the_texts_own_bytes_are_the_bound():
    span, _ = count("gpt-5.2-pro", request_of([("user", None, "é" * 10)]))
    assert span.max == len("user") + 20 + 32 + 8


def test_newer_claude_predicts_thirty_percent_more():
    older, newer = (
        count(model, request_of(TRANSLATION))[0].predicted for model in ("claude-opus-4-5", "claude-opus-4-7")
    )
    assert newer == -(-older * 13 // 10)


@pytest.mark.parametrize(
    "fields",
    [
        {"surface": Surface.RESPONSES},
        {"tools": (WEATHER_TOOL,), "tool_choice": "required"},
        {"output_format": OutputFormat(kind="json_schema", name="answer", schema=b'{"type":"object"}')},
        {"tools": (Tool(name="f", parameters=b'{"type":"object","properties":{"a":{"type":"object"}}}'),)},
        {"tools": (Tool(name="f", parameters=b"[1]"),)},
        {"tools": (Tool(name="f", parameters=b"{"),)},
        {"tools": (Tool(name="f", custom=True),)},
        {"tools": (WEATHER_TOOL,), "tool_choice": "allowed"},
        {"tools": (Tool(name="f", parameters=NO_VALUES),)},
    ],
)
def test_what_the_cookbook_does_not_cover_is_not_claimed_exact(fields):
    span, confidence = count("gpt-4o", request_of(WEATHER, **fields))
    assert confidence is Confidence.INFERRED
    assert span.max > span.predicted


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {}, "description": LONG},
        {"type": "object", "properties": {}, "$defs": {"a": {"description": LONG}}},
        {"type": "object", "properties": {}, "required": [LONG]},
        {"type": "object", "properties": {}, "additionalProperties": {"description": LONG}},
        {"type": "object", "patternProperties": {"a": {"description": LONG}}},
        {"oneOf": [{"description": LONG}]},
        {"type": LONG, "properties": {}},
        {"type": "grammar", "grammar": {"syntax": "lark", "definition": LONG}},
    ],
    ids=lambda schema: "-".join(schema),
)
def test_what_a_schema_says_beside_its_properties_is_counted_and_not_claimed_exact(schema):
    body = json.dumps(schema).encode()
    span, confidence = count("gpt-4o", request_of(WEATHER, tools=(Tool(name="f", parameters=body),)))
    assert span.predicted >= O200K(LONG)
    assert span.max >= len(LONG)
    assert confidence is Confidence.INFERRED


@pytest.mark.parametrize("more", [{"required": ["a"]}, {"required": []}, {"additionalProperties": False}])
def test_a_flat_schema_stays_exact_whatever_of_it_is_required(more):
    flat = {"type": "object", "properties": {"a": {"type": "string", "description": "x"}}}
    bodies = [json.dumps(schema).encode() for schema in (flat, {**flat, **more})]
    spans = [count("gpt-4o", request_of(WEATHER, tools=(Tool(name="f", parameters=body),))) for body in bodies]
    assert spans[0] == spans[1]
    assert spans[1][1] is Confidence.PUBLISHED


def test_a_call_that_may_be_made_on_a_surface_without_published_framing_is_not_claimed_exact():
    request, framing = request_of(WEATHER), find_framing("gpt-4o")
    exact, _ = count_text(request, framing, O200K, [Surface.CHAT])
    assert exact.max == exact.predicted
    for called_on in ([Surface.RESPONSES], [Surface.CHAT, Surface.RESPONSES]):
        span, confidence = count_text(request, framing, O200K, called_on)
        assert (span.predicted, confidence) == (exact.predicted, Confidence.INFERRED)
        assert span.max > span.predicted


@pytest.mark.parametrize("role", ["developer", "tool"])
def test_roles_the_cookbook_does_not_know_are_not_claimed_exact(role):
    span, confidence = count("gpt-4o", request_of([(role, None, "a")]))
    assert confidence is Confidence.INFERRED
    assert span.max > span.predicted


def test_a_tool_without_parameters_counts_as_one_without_properties():
    without = count("gpt-4o", request_of(WEATHER, tools=(Tool(name="f"),)))
    empty = count(
        "gpt-4o", request_of(WEATHER, tools=(Tool(name="f", parameters=b'{"type":"object","properties":{}}'),))
    )
    assert without == empty


def test_special_tokens_in_a_text_are_counted_as_the_text_they_are():
    assert O200K("<|endoftext|>") > 1
    assert O200K("a<|endoftext|>b<|im_start|>") == O200K("a") + O200K("<|endoftext|>b<|im_start|>")


@given(st.text(max_size=400))
def test_no_text_has_more_tokens_than_bytes(text):
    assert O200K(text) <= len(text.encode())


@given(
    st.lists(st.text(max_size=60), min_size=1, max_size=5), st.sampled_from(["gpt-4o", "gpt-5.2", "claude-opus-4-7"])
)
def test_the_maximum_is_never_below_the_prediction(texts, model):
    span, _ = count(model, request_of([("user", None, text) for text in texts]))
    assert 0 < span.predicted <= span.max


@given(st.text(alphabet="ab é中\n'/.,1 ", min_size=1, max_size=300))
def test_a_long_text_counts_the_same_in_slices(seed):
    text = (seed + " plain words between ") * (2 * SLICE_CHARS // len(seed) // 2 + 2)
    tokens, exact = count_sliced(text, O200K)
    assert exact
    assert tokens == O200K(text)


@pytest.mark.parametrize("run", ["a" * 200_000, " " * 100_000, "中" * 50_000, "\n" * 100_000])
def test_one_endless_run_is_counted_in_bounded_pieces_and_not_called_exact(run):
    pieces: list[int] = []

    def measured(text: str) -> int:
        pieces.append(len(text))
        return O200K(text)

    tokens, exact = count_sliced(run, measured)
    assert not exact
    assert max(pieces) <= SLICE_CHARS
    assert abs(tokens - O200K(run)) <= len(pieces)
    span, confidence = count("gpt-4o", request_of([("user", None, run)]))
    assert confidence is Confidence.INFERRED
    assert span.max > len(run.encode())


def test_text_beyond_any_context_is_taken_at_its_bytes():
    long = "word " * (TEXT_CHARS_COUNTED_MAX // 5 + 1)
    span, confidence = count("gpt-4o", request_of([("user", None, long)]))
    assert span.predicted >= len(long)
    assert span.max >= span.predicted
    assert confidence is Confidence.INFERRED


def test_a_request_counts_each_image_at_its_own_detail():
    images = tuple(
        ImagePart(index=index, origin=ImageOrigin.URL, url="u", detail=detail, param=f"images[{index}]")
        for index, detail in enumerate((Detail.LOW, Detail.HIGH, Detail.AUTO))
    )
    rules = find_image_rules("gpt-4o", date(2026, 11, 22))
    request = request_of([("user", None, "What is this?")], images=images)
    found = count_request(request, [(1024, 1024)] * 3, rules, find_framing("gpt-4o"), O200K)
    assert [image.tokens.predicted for image in found.images] == [85, 765, 765]
    assert found.image.max == found.image.predicted + 3
    assert found.text_confidence is Confidence.PUBLISHED
    assert found.total.predicted == found.text.predicted + 1615


def test_a_missing_size_is_a_fault_of_ours_not_a_free_image():
    request = request_of(WEATHER, images=(ImagePart(index=0, origin=ImageOrigin.URL, url="u"),))
    with pytest.raises(ValueError, match="every image"):
        count_request(request, [], None, find_framing("gpt-4o"), O200K)
