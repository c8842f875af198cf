"""Framing rows: what they claim, and what the loader refuses."""

import pytest

from tessera.catalog.catalogue import load_catalogue
from tessera.catalog.framing import UNPUBLISHED, find_framing, read_framing
from tessera.domain.request import Surface
from tessera.domain.tokens.counts import Confidence

ROW = """
[[framing]]
id = "unpublished"
models = []
encoding = "o200k_base"
confidence = "unknown"
source = "none"
tools = { function = 7, properties = 3, key = 3, enum = -3, enum_item = 3, end = 12 }
"""


def test_only_the_cookbooks_models_on_chat_and_our_own_claim_exact_counts():
    claimed = {
        model.canonical: find_framing(model.id).published_on
        for model in load_catalogue().models()
        if find_framing(model.id).published_on
    }
    assert {"gpt-4o", "gpt-4o-mini", "gpt-3.5-turbo", "gpt-4", "tessera/sight"} <= set(claimed)
    assert not [name for name in claimed if name.startswith(("gpt-5", "gpt-6", "gpt-4.1", "o", "claude", "gemini"))]
    assert all(surfaces == (Surface.CHAT,) for name, surfaces in claimed.items() if name != "tessera/sight")


def test_a_model_nobody_named_is_counted_by_its_bytes():
    framing = find_framing("my-own-vlm")
    assert framing.id == UNPUBLISHED
    assert framing.confidence is Confidence.UNKNOWN
    assert framing.reserve_tokens > 0


def test_every_framing_that_is_not_exact_states_a_reserve():
    for model in load_catalogue().models():
        framing = find_framing(model.id)
        assert framing.reserve_tokens > 0 or len(framing.published_on) == len(Surface)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "framing"),
        (ROW.replace('"unpublished"', '"other"'), "all other models is missing"),
        (ROW + ROW, "two framings"),
        (ROW.replace("source", "sauce"), "sauce"),
        (ROW + 'published_on = ["chat"]', "claims exact"),
    ],
)
def test_a_bad_file_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        read_framing(text)
