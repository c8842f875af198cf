"""Which encodings there are, and a counter for each.

Patterns and vocabularies are OpenAI's (tiktoken, MIT; see NOTICE in this folder).
"""

from collections.abc import Callable
from functools import cache, lru_cache
from hashlib import blake2b
from pathlib import Path
from threading import Lock

import msgspec
import tiktoken

from tessera.adapters.tokenizers.vocabulary import unpack


class EncodingSource(msgspec.Struct, frozen=True, kw_only=True):
    """One encoding. `pattern` splits text before merging; `sha256` is the published `.tiktoken` file's digest."""

    vocabulary: str
    pattern: str
    sha256: str


_LETTERS_LOW = r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_LETTERS_UP = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]"
_CONTRACTION = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"

_O200K = EncodingSource(
    vocabulary="o200k_base.vocabulary",
    pattern="|".join(
        (
            rf"[^\r\n\p{{L}}\p{{N}}]?{_LETTERS_UP}*{_LETTERS_LOW}+{_CONTRACTION}",
            rf"[^\r\n\p{{L}}\p{{N}}]?{_LETTERS_UP}+{_LETTERS_LOW}*{_CONTRACTION}",
            r"\p{N}{1,3}",
            r" ?[^\s\p{L}\p{N}]+[\r\n/]*",
            r"\s*[\r\n]+",
            r"\s+(?!\S)",
            r"\s+",
        )
    ),
    sha256="446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d",
)

_CL100K = EncodingSource(
    vocabulary="cl100k_base.vocabulary",
    pattern=(
        r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+"
        r"|\s++$|\s*[\r\n]|\s+(?!\S)|\s"
    ),
    sha256="223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7",
)

ENCODINGS = {"o200k_base": _O200K, "o200k_harmony": _O200K, "cl100k_base": _CL100K}
"""By tiktoken's name. o200k_harmony differs from o200k_base in special tokens only, which text never has."""


SHORT_CHARS_MAX = 16
"""Roles and names come again in every call: texts this short are remembered, a few thousand of them."""
REMEMBERED_CHARS_MAX = 4096
REMEMBERED_MAX = 16_384
"""A system prompt, or the question asked of each of 100,000 images, comes again too: the counts of texts up to this
length are remembered under a digest, never the texts. Counting also lets other threads in, which costs a call more than
the counting does."""


@cache
def counter_for(encoding: str) -> Callable[[str], int]:
    """A `TextCounter` for an encoding. The vocabulary is read at the first count, once per process, unless `load` has
    read it.

    Raises ValueError for an encoding that is not shipped.
    """
    source = ENCODINGS.get(encoding)
    if source is None:
        raise ValueError(f"no vocabulary for {encoding!r}: there are {', '.join(ENCODINGS)}")

    remembered: dict[bytes, int] = {}

    def count(text: str) -> int:
        if len(text) <= SHORT_CHARS_MAX:
            return count_short(text)
        if len(text) > REMEMBERED_CHARS_MAX:
            return len(_load(source.vocabulary).encode_ordinary(text))
        digest = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        tokens = remembered.get(digest)
        if tokens is None:
            tokens = len(_load(source.vocabulary).encode_ordinary(text))
            if len(remembered) >= REMEMBERED_MAX:
                remembered.clear()
            remembered[digest] = tokens
        return tokens

    @lru_cache(maxsize=4096)
    def count_short(text: str) -> int:
        return len(_load(source.vocabulary).encode_ordinary(text))

    return count


def load(encoding: str) -> None:
    """Reads an encoding's vocabulary now, which takes 0.1 to 0.4 s, so that the first count need not."""
    _load(ENCODINGS[encoding].vocabulary)


def is_loaded(encoding: str) -> bool:
    """Whether counting starts at once."""
    source = ENCODINGS.get(encoding)
    return source is not None and source.vocabulary in _loaded


def read_ranks(vocabulary: str) -> dict[bytes, int]:
    """Token → rank of a shipped vocabulary file."""
    return unpack((Path(__file__).parent / vocabulary).read_bytes())


_loaded: dict[str, tiktoken.Encoding] = {}
_loading = Lock()


def _load(vocabulary: str) -> tiktoken.Encoding:
    encoding = _loaded.get(vocabulary)
    if encoding is None:
        with _loading:
            encoding = _loaded.get(vocabulary) or _read(vocabulary)
            _loaded[vocabulary] = encoding
    return encoding


def _read(vocabulary: str) -> tiktoken.Encoding:
    source = next(source for source in ENCODINGS.values() if source.vocabulary == vocabulary)
    ranks = read_ranks(vocabulary)
    encoding = tiktoken.Encoding(
        vocabulary.partition(".")[0], pat_str=source.pattern, mergeable_ranks=ranks, special_tokens={}
    )
    # The library counts with a copy of its own and keeps this table without looking at it again: 25 MB of o200k_base.
    ranks.clear()
    return encoding
