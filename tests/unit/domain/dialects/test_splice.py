"""Splicing: only what must change changes; every other byte is the caller's."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tessera.domain.dialects.body import open_body
from tessera.domain.dialects.chat import parse_chat
from tessera.domain.dialects.responses import parse_responses
from tessera.domain.dialects.spans import elements, members
from tessera.domain.dialects.splice import JOIN_MAX, Edits, splice
from tessera.domain.request import Surface, Tier

from .bodies import DATA_URL, FULL_CHAT, FULL_RESPONSES, chat_body, encoded, responses_body
from .test_body import OBJECTS, VALUES

SAME = Edits(model="gpt-4o", output_cap=300, include_usage=False)


def spliced(raw: bytes, edits: Edits, surface: Surface = Surface.CHAT) -> bytes:
    body = open_body(raw)
    request = (parse_chat if surface is Surface.CHAT else parse_responses)(body)
    return b"".join(splice(surface, body, request, edits))


@pytest.mark.parametrize(("value", "surface"), [(FULL_CHAT, Surface.CHAT), (FULL_RESPONSES, Surface.RESPONSES)])
def test_a_body_that_needs_no_change_stays_the_same_bytes(value: dict[str, Any], surface: Surface) -> None:
    for raw in (encoded(value), json.dumps(value, indent=3).encode()):
        assert spliced(raw, SAME, surface) == raw


def test_only_the_changed_values_differ() -> None:
    raw = b'{ "model" : "a",\t"messages":[{"role":"user","content":"model"}] ,"temperature": 1.10, "max_tokens":9 }'
    out = spliced(raw, Edits(model="b/c", output_cap=7))
    assert out == raw.replace(b'"a"', b'"b/c"').replace(b"9 }", b"7 }")


def test_what_is_missing_is_added_once() -> None:
    raw = encoded(chat_body(stream=True))
    out = spliced(raw, Edits(model="gpt-4o", output_cap=64, tier=Tier.FLEX))
    assert out.endswith(raw[1:])
    assert json.loads(out) == {
        **json.loads(raw),
        "max_completion_tokens": 64,
        "service_tier": "flex",
        "stream_options": {"include_usage": True},
    }


def test_both_caps_of_chat_are_lowered_when_the_caller_wrote_both() -> None:
    out = json.loads(
        spliced(encoded(chat_body(max_tokens=5, max_completion_tokens=90)), Edits(model="m", output_cap=4))
    )
    assert (out["max_tokens"], out["max_completion_tokens"]) == (4, 4)


@pytest.mark.parametrize(
    "options", [None, {}, {"include_usage": False}, {"include_usage": None}, {"include_obfuscation": False}]
)
def test_a_chat_stream_is_always_asked_for_its_usage(options: object) -> None:
    raw = encoded(chat_body(stream=True, stream_options=options))
    out = json.loads(spliced(raw, Edits(model="gpt-4o", output_cap=5)))
    kept = {"include_obfuscation": False} if isinstance(options, dict) and "include_obfuscation" in options else {}
    assert out["stream_options"] == {**kept, "include_usage": True}


def test_a_call_that_is_no_stream_gets_no_stream_options() -> None:
    assert "stream_options" not in json.loads(spliced(encoded(chat_body()), Edits(model="m", output_cap=5)))
    out = spliced(encoded(responses_body(stream=True)), Edits(model="m", output_cap=5), Surface.RESPONSES)
    assert "stream_options" not in json.loads(out)


@pytest.mark.parametrize(
    ("written", "tier", "sent"),
    [
        ("fast", Tier.PRIORITY, "fast"),
        ("priority", Tier.PRIORITY, "priority"),
        ("auto", Tier.DEFAULT, "default"),
        ("flex", Tier.DEFAULT, "default"),
        ("auto", None, "auto"),
        (None, Tier.PRIORITY, "priority"),
    ],
)
def test_the_tier_is_sent_explicitly(written: str | None, tier: Tier | None, sent: str) -> None:
    out = json.loads(spliced(encoded(chat_body(service_tier=written)), Edits(model="m", output_cap=5, tier=tier)))
    assert out["service_tier"] == sent


def test_null_is_replaced_not_doubled() -> None:
    raw = encoded(chat_body(max_completion_tokens=None, service_tier=None, stream=True, stream_options=None))
    out = spliced(raw, Edits(model="m", output_cap=5, tier=Tier.DEFAULT))
    assert open_body(out).value["max_completion_tokens"] == 5


@pytest.mark.parametrize(("value", "surface"), [(FULL_CHAT, Surface.CHAT), (FULL_RESPONSES, Surface.RESPONSES)])
def test_a_fetched_image_takes_its_addresss_place_without_a_copy(value: dict[str, Any], surface: Surface) -> None:
    raw = encoded(value)
    body = open_body(raw)
    request = (parse_chat if surface is Surface.CHAT else parse_responses)(body)
    image = memoryview(b"data:image/jpeg;base64," + b"B" * JOIN_MAX)
    pieces = splice(
        surface, body, request, Edits(model="gpt-4o", output_cap=300, include_usage=False, images={1: image})
    )
    assert any(piece is image for piece in pieces)
    assert b"".join(pieces) == raw.replace(b"https://example.com/b.jpg", bytes(image))


def test_a_large_body_is_sent_as_views_of_itself() -> None:
    url = DATA_URL + "A" * 4 * JOIN_MAX
    raw = encoded(chat_body(messages=[{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}]))
    body = open_body(raw)
    pieces = splice(Surface.CHAT, body, parse_chat(body), Edits(model="other", output_cap=1))
    views = [piece for piece in pieces if isinstance(piece, memoryview)]
    assert all(view.obj is raw for view in views)
    assert sum(map(len, views)) > len(raw) - 20


@pytest.mark.parametrize("more", [{}, {"image_url": None}])
def test_an_uploaded_image_is_sent_as_data(more: dict[str, Any]) -> None:
    part = {"type": "input_image", "file_id": "file-1", "detail": "low", **more}
    raw = encoded(responses_body(input=[{"role": "user", "content": [part]}]))
    edits = Edits(model="gpt-4o", output_cap=5, images={0: b"data:image/png;base64,AAAA"})
    sent = open_body(spliced(raw, edits, Surface.RESPONSES)).value["input"][0]["content"][0]
    assert sent["image_url"] == "data:image/png;base64,AAAA"
    assert sent.get("file_id") is None
    assert sent["detail"] == "low"


DUMPS: list[Callable[[Any], str]] = [
    json.dumps,
    lambda v: json.dumps(v, ensure_ascii=False, separators=(",", ":")),
    lambda v: json.dumps(v, indent=1),
]


@given(VALUES, OBJECTS, st.text(), st.sampled_from(DUMPS), st.permutations(range(6)), st.booleans())
def test_every_unchanged_value_is_the_same_bytes(
    schema: Any, metadata: dict[str, Any], text: str, dump: Callable[[Any], str], order: list[int], address: bool
) -> None:
    url = "https://example.com/b.jpg" if address else DATA_URL
    parts = [{"type": "text", "text": text}, {"image_url": {"url": url, "detail": "low"}, "type": "image_url"}]
    fields = [
        ("model", 'my " model\\'),
        ("messages", [{"role": "user", "content": parts}]),
        ("tools", [{"type": "function", "function": {"name": "f", "parameters": {"x": schema, **metadata}}}]),
        ("max_tokens", 12),
        ("temperature", 0.1),
        ("stream", True),
    ]
    raw = dump(dict(fields[i] for i in order)).encode()
    images = {0: b"data:image/png;base64,QUJD"} if address else {}
    out = spliced(raw, Edits(model="up", output_cap=11, tier=Tier.DEFAULT, images=images))
    before, after = members(raw, 0, len(raw)), members(out, 0, len(out))
    assert [name for name in after if name in before] == list(before)
    assert set(after) - set(before) == {"service_tier", "stream_options"}
    for name, (_, start, end) in before.items():
        _, begin, stop = after[name]
        if name == "messages" and address:
            assert out[begin:stop] == raw[start:end].replace(url.encode(), images[0], 1) or url in text
        elif name not in ("model", "max_tokens"):
            assert out[begin:stop] == raw[start:end]
    value = json.loads(out)
    assert (value["model"], value["max_tokens"]) == ("up", 11)


@given(st.lists(VALUES, max_size=6), OBJECTS, st.sampled_from(DUMPS))
def test_spans_are_where_values_stand(values: list[Any], owner: dict[str, Any], dump: Callable[[Any], str]) -> None:
    text = dump(values).encode()
    assert [json.loads(text[a:b]) for a, b in elements(text, 0, len(text))] == values
    text = b"  " + dump(owner).encode() + b" "
    found = members(text, 0, len(text))
    assert {name: json.loads(text[a:b]) for name, (_, a, b) in found.items()} == owner
    assert all(
        json.loads(text[key : text.index(b":", key)]) == name for name, (key, _, _) in found.items() if ":" not in name
    )


@pytest.mark.parametrize(
    "raw",
    [
        b'{"messages":[{"role":"user","content":"x"}],"metadata":{"model":"gpt-4o"},"model":"gpt-4o"}',
        b'{"messages":[{"role":"user","content":"x"}],"metadata":{"model":"gpt-4o"},"\\u006dodel":"gpt-4o"}',
        b'{"messages":[{"role":"user","content":"model"}],"model" : "gpt-4o"}',
        b'{"messages":[{"role":"user","content":"\\"model\\":\\"gpt-4o\\""}],"model":"gpt-4o"}',
        b'{"messages":[{"role":"user","content":"\\\\"}],"model":"gpt\\u002d4o"}',
    ],
)
def test_only_the_top_level_model_is_replaced(raw: bytes) -> None:
    before = json.loads(raw)
    after = json.loads(spliced(raw, Edits(model="up", output_cap=3)))
    assert after == {**before, "model": "up", "max_completion_tokens": 3}


@pytest.mark.parametrize("raw", [b'{"a":1,"a":2}', b'{"a":1,"b":2,"a":1}', b'{"a":1,"a":1}', b"[]", b"{", b"{} x"])
def test_an_object_that_cannot_be_measured_is_refused(raw: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        members(raw, 0, len(raw))
