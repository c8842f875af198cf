"""The quick way of putting a receipt into a reply says the same as the thorough one."""

import json

from hypothesis import given
from hypothesis import strategies as st

from tessera.domain.dialects.receipt import Receipt, finish_reply
from tessera.domain.request import Surface

RECEIPT = Receipt(charge="0.02646", charge_nanos=26_460_000, request_id="req_1")
names = st.sampled_from(["usage", "id", "charge", "cost", "x", "a\\b", 'q"', "ü", "request_id"])
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.sampled_from(['"usage":{', "usage"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=8,
)
usages = st.dictionaries(st.sampled_from(["prompt_tokens", "completion_tokens", "charge", "cost"]), st.integers())


@given(st.dictionaries(names, values, max_size=4), usages.filter(bool), st.booleans(), st.sampled_from([None, 1]))
def test_both_ways_say_the_same(reply: dict, usage: dict, ascii_only: bool, indent: int | None) -> None:
    raw = json.dumps({**reply, "usage": usage}, ensure_ascii=ascii_only, indent=indent).encode()
    quick = finish_reply(Surface.CHAT, raw, RECEIPT, reported=True)
    assert json.loads(quick) == json.loads(finish_reply(Surface.CHAT, raw, RECEIPT))
    assert json.loads(quick)["usage"]["charge_nanos"] == 26_460_000
