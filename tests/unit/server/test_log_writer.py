"""Log lines are bounded and hold no key, wherever it stands."""

from hypothesis import given
from hypothesis import strategies as st

from tessera.domain.auth import make_key
from tessera.domain.money import Mode
from tessera.server.log_writer import TEXT_LENGTH_MAX, bound


@given(st.binary(min_size=30, max_size=40), st.sampled_from(Mode), st.text(max_size=50), st.integers(0, 3))
def test_a_key_is_taken_out_of_every_depth(random: bytes, mode: Mode, around: str, depth: int) -> None:
    key = make_key(mode, random)
    value: object = f"{around} {key} {around}"
    for _ in range(depth):
        value = {"frames": [value]}
    assert key not in str(bound(None, "", {"event": "failed", "exception": value}))


def test_credentials_of_providers_are_taken_out_too() -> None:
    shown = str(bound(None, "", {"event": "sk-proj-abcdefghijklmnop", "header": "Bearer whatever-it-is"}))
    assert "abcdefghijklmnop" not in shown
    assert "whatever" not in shown
    assert "sk-…" in shown


def test_ordinary_words_stay() -> None:
    line = {
        "event": "http.internal_error",
        "path": "/v1/models",
        "count": 3,
        "request_id": "req_01m82b1vqx26zhkq5a0dj2vbtp",
    }
    assert bound(None, "", dict(line)) == line


def test_a_long_text_is_cut() -> None:
    assert len(bound(None, "", {"event": "a" * 10_000_000})["event"]) == TEXT_LENGTH_MAX
