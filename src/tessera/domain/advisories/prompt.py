"""What a prompt asks for, as far as its words show it.

Words are weak evidence: each topic needs a combination that people hardly write by accident, and the tests hold the
share of false alarms at or below 5 %. Only the beginning and the end of a long prompt are read.
"""

from functools import lru_cache

from tessera.domain.advisories.topics import (
    HEAD_CHARS,
    LANGUAGE_HEADS,
    NON_LATIN_READING,
    NON_LATIN_TEXT,
    REPLY_LANGUAGE,
    TOPICS,
    Topic,
    compiled,
)

_END_CHARS_MAX = 2000
_QUOTES = str.maketrans("’‘", "''")
_PUNCTUATION = str.maketrans(dict.fromkeys("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~“”«»¿¡", " "))


@lru_cache(maxsize=1)
def read_prompt(text: str) -> frozenset[Topic]:
    """The topics a prompt asks for; a long prompt is read at both ends only.

    The last answer is kept, because every image of one call asks with the same text.
    """
    if len(text) > 2 * _END_CHARS_MAX:
        text = text[:_END_CHARS_MAX] + "\n" + text[-_END_CHARS_MAX:]
    folded = " ".join(text.lower().translate(_QUOTES).split())
    heads = {word[:HEAD_CHARS] for word in folded.translate(_PUNCTUATION).split()}
    found = {topic for topic, words in TOPICS.items() if not heads.isdisjoint(words.heads) and words.found_in(folded)}
    if _asks_for_non_latin_text(folded, heads):
        found |= {Topic.NON_LATIN_TEXT, Topic.READING}
    return frozenset(found)


def _asks_for_non_latin_text(folded: str, heads: set[str]) -> bool:
    if not folded.isascii() and compiled(NON_LATIN_READING).search(folded):
        return True
    if heads.isdisjoint(LANGUAGE_HEADS):
        return False
    return compiled(NON_LATIN_TEXT).search(compiled(REPLY_LANGUAGE).sub(" ", folded)) is not None
