"""Long texts, counted in bounded pieces."""

import re
from collections.abc import Callable

SLICE_CHARS = 16_000
"""Merging byte pairs of one unbroken run takes more than linear time; 16,000 characters take about 2 ms at worst."""
_CUT_WINDOW_CHARS = 4_000
_WORD_END = re.compile(r"[A-Za-z](?= )")


def count_sliced(text: str, counter: Callable[[str], int]) -> tuple[int, bool]:
    """(tokens, whether they are exact) of a text of any length.

    A text is cut between an ASCII letter and a blank, where OpenAI's splitting patterns always break, so the sum is
    exactly the count of the whole. Where a stretch has no such place it is cut anyway: then the sum can differ from the
    whole's by a few tokens and is not exact.
    """
    tokens, start, exact = 0, 0, True
    while len(text) - start > SLICE_CHARS:
        end = start + SLICE_CHARS
        word_end = _WORD_END.search(text, end - 1, end + _CUT_WINDOW_CHARS)
        if word_end is None:
            exact = False
        else:
            end = word_end.end()
        tokens += counter(text[start:end])
        start = end
    return tokens + counter(text[start:] if start else text), exact
