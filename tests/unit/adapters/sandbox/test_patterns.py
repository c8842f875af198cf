"""Patterns are read, matched and written without a backtracking engine, and agree with Python's where both apply."""

import re
import time
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tessera.adapters.providers.sandbox.patterns import Pattern, UnsupportedPatternError

PATTERNS = [
    "",
    "abc",
    "^abc$",
    "a|b|",
    "^(a|bc)*d?$",
    r"^\d{3}-\d{4}$",
    r"^\w+\s\w*$",
    "[a-c]{2,3}",
    "[^a-c]+",
    r"[\d_-]",
    r"^[\]\\^-]+$",
    "a.c",
    "^(?:ab){2}$",
    "(a*)*b",
    "x{0}y",
    "a+?b*?",
    r"\x41\u0042\/\.",
    "^$",
    r"\S+@\S+",
    "(^a|b$)",
]


@settings(max_examples=500, deadline=None)
@given(st.sampled_from(PATTERNS), st.text(alphabet="abcdxy-_ 1234AB@.]\\^/é", max_size=12))
def test_matching_agrees_with_python(source: str, text: str) -> None:
    pattern = Pattern(source)
    if pattern.ascii_only and not text.isascii():
        return
    assert pattern.matches(text) is (re.search(source, text) is not None)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(PATTERNS), st.integers(0, 1000), st.integers(0, 8))
def test_an_example_written_for_a_pattern_matches_it(source: str, seed: int, least: int) -> None:
    pattern = Pattern(source)
    matching = [text for text in pattern.examples(Random(seed), least, None) if pattern.matches(text)]
    assert all(re.search(source, text) and len(text) >= least for text in matching)
    assert matching or "$" in source


@pytest.mark.parametrize(
    "source",
    [
        "(?=a)b",
        "(?!a)b",
        "(?<=a)b",
        r"(a)\1",
        r"\bword\b",
        r"\p{L}",
        "(?i)a",
        "(?P<n>a)",
        "a++",
        "*a",
        "(a",
        "a)",
        "[a",
        "[]a]",
        "[z-a]",
        "a{,3}",
        "a{x}",
        "a{3,1}",
        "^*",
        "\\",
        r"\xg1",
        "a{99999}",
        "(" * 100 + ")" * 100,
        "a" * 2000,
        "((a{100}){100}){100}",
    ],
)
def test_what_is_not_understood_is_refused(source: str) -> None:
    with pytest.raises(UnsupportedPatternError):
        Pattern(source)


@pytest.mark.parametrize("source", ["(a+)+$", "(a|a)*$", "(a*)*$", "^(.*a){12}$", "(x+x+)+y"])
def test_patterns_that_stop_other_engines_take_no_time(source: str) -> None:
    text = "a" * 5000 + "!" if "x" not in source else "x" * 5000
    started = time.process_time()
    Pattern(source).matches(text)
    assert time.process_time() - started < 2


def test_nested_repetition_does_not_write_without_end() -> None:
    texts = list(Pattern("((((a+)+)+)+)+").examples(Random(1), 900, None))
    assert all(len(text) < 5000 for text in texts)
