"""The shipped vocabularies: equal to the published ones, complete, offline."""

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest
import tiktoken
import tiktoken_ext.openai_public
from hypothesis import given
from hypothesis import strategies as st

from tessera.adapters import tokenizers
from tessera.adapters.tokenizers import ENCODINGS, counter_for
from tessera.adapters.tokenizers.encodings import read_ranks
from tessera.adapters.tokenizers.vocabulary import pack, tiktoken_file, unpack


@pytest.mark.parametrize("name", ["o200k_base", "cl100k_base"])
def test_the_reconstructed_file_has_the_published_digest(name):
    source = ENCODINGS[name]
    assert hashlib.sha256(tiktoken_file(read_ranks(source.vocabulary))).hexdigest() == source.sha256


@pytest.fixture(scope="module", params=["o200k_base", "cl100k_base"])
def reference(request: pytest.FixtureRequest):
    """tiktoken's own encoding, given our vocabulary in place of its download, and our counter beside it."""
    patch = pytest.MonkeyPatch()

    def load(address: str, expected_hash: str) -> dict[bytes, int]:
        ranks = read_ranks(f"{request.param}.vocabulary")
        assert hashlib.sha256(tiktoken_file(ranks)).hexdigest() == expected_hash
        return ranks

    patch.setattr(tiktoken_ext.openai_public, "load_tiktoken_bpe", load)
    yield tiktoken.Encoding(**getattr(tiktoken_ext.openai_public, request.param)()), counter_for(request.param)
    patch.undo()


@given(st.text(max_size=200))
def test_counts_are_tiktokens(reference, text):
    encoding, counter = reference
    assert counter(text) == len(encoding.encode_ordinary(text))


@pytest.mark.parametrize(
    "text",
    ["", "don't DON'T donſt", "  a\n\n /b\r\n", "١٢٣٤", "e\u0301", "\ud83d", "👩\u200d👧", "<|endoftext|>", "a" * 5000],
)
def test_counts_of_awkward_texts_are_tiktokens(reference, text):
    encoding, counter = reference
    assert counter(text) == len(encoding.encode_ordinary(text))


def test_harmony_counts_text_as_o200k():
    assert counter_for("o200k_harmony")("Hello, wörld") == counter_for("o200k_base")("Hello, wörld")


def test_an_encoding_that_is_not_shipped_is_refused():
    with pytest.raises(ValueError, match="no vocabulary for 'p50k_base'"):
        counter_for("p50k_base")


def test_counting_opens_no_socket():
    """In a fresh process in which any socket, and any name look-up, is an error."""
    script = (
        "import socket\n"
        "def refuse(*args, **kwargs): raise RuntimeError('network')\n"
        "socket.socket = socket.create_connection = socket.getaddrinfo = refuse\n"
        "from tessera.adapters.tokenizers import counter_for\n"
        "print(counter_for('o200k_base')('hello world'), counter_for('cl100k_base')('hello world'))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env={"TIKTOKEN_CACHE_DIR": ""}
    )
    assert (done.stdout, done.returncode) == ("2 2\n", 0), done.stderr


def test_a_vocabulary_is_not_read_before_it_is_needed():
    script = (
        "from tessera.adapters.tokenizers import counter_for, encodings\n"
        "counter_for('o200k_base')\n"
        "print(encodings.is_loaded('o200k_base'), encodings.is_loaded('p50k_base'))\n"
        "encodings.load('o200k_base')\n"
        "print([name for name in encodings.ENCODINGS if encodings.is_loaded(name)])\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "False False\n['o200k_base', 'o200k_harmony']\n"


def test_threads_that_count_at_once_read_the_vocabulary_once():
    script = (
        "from concurrent.futures import ThreadPoolExecutor\n"
        "from tessera.adapters.tokenizers import counter_for, encodings\n"
        "read, reads = encodings._read, []\n"
        "encodings._read = lambda vocabulary: reads.append(vocabulary) or read(vocabulary)\n"
        "with ThreadPoolExecutor(4) as pool:\n"
        "    counts = set(pool.map(counter_for('cl100k_base'), ['Hello, harbour of mosaic tiles!'] * 4))\n"
        "print(len(counts), reads)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "1 ['cl100k_base.vocabulary']\n"


def test_the_licence_stands_beside_the_vocabularies():
    notice = (Path(tokenizers.__file__).parent / "NOTICE").read_text("utf-8")
    assert "MIT" in notice
    assert all(source.sha256 in notice for source in ENCODINGS.values())


@given(st.sets(st.binary(min_size=1, max_size=40), max_size=30))
def test_packing_keeps_every_token_and_rank(tokens):
    ranks = {token: rank for rank, token in enumerate(sorted(tokens, key=lambda token: token[::-1]))}
    assert unpack(pack(ranks)) == ranks


@pytest.mark.parametrize("ranks", [{b"a": 1}, {b"a": 0, b"b": 0}, {b"": 0}, {b"a" * 256: 0}])
def test_what_cannot_be_packed_is_refused(ranks):
    with pytest.raises(ValueError, match=r"rank|token"):
        pack(ranks)


@pytest.mark.parametrize("packed", [b"", b"nonsense", pack({b"a": 0})[:-4]])
def test_a_broken_vocabulary_file_is_refused(packed):
    with pytest.raises(ValueError, match="vocabulary"):
        unpack(packed)
