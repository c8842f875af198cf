"""Where a reply begins and ends, whatever pieces it arrives in and whatever is wrong with it."""

from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tessera.adapters.providers.openai.framing import HEAD_BYTES_MAX, NotHttpError, ReplyParser

OK = b"HTTP/1.1 200 OK\r\n"
WITH_LENGTH = OK + b'Content-Type: application/json\r\nContent-Length: 8\r\n\r\n{"a": 1}'
IN_CHUNKS = OK + b"Transfer-Encoding: chunked\r\n\r\n3;note=x\r\n{}\n\r\na\r\n0123456789\r\n0\r\nX-Late: 1\r\n\r\n"
WITHOUT_LENGTH = OK + b"X: y\r\n\r\n{}"
AFTER_HINTS = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + WITH_LENGTH
EMPTY = b"HTTP/1.1 204 No Content\r\n\r\n"
REFUSED = b"HTTP/1.0 503 Busy\r\nRetry-After: 3\r\nContent-Length: 2\r\n\r\n{}"
VALID = (WITH_LENGTH, IN_CHUNKS, WITHOUT_LENGTH, AFTER_HINTS, EMPTY, REFUSED)

Read = tuple[int, dict[str, str], bytes, bool, bool]


def begun() -> ReplyParser:
    parser = ReplyParser()
    parser.begin()
    return parser


def read(pieces: Sequence[bytes], parser: ReplyParser | None = None) -> Read:
    """Status, headers, body, whether it is complete when the input ends there, whether the connection can be kept."""
    parser = parser or begun()
    for piece in pieces:
        parser.feed(piece)
    parser.end_of_input()
    return parser.status, parser.headers, parser.take(), parser.complete, parser.keep


def cut(data: bytes, places: Sequence[int]) -> list[bytes]:
    bounds = [0, *sorted({place % (len(data) + 1) for place in places}), len(data)]
    return [data[start:end] for start, end in pairwise(bounds) if start < end]


@pytest.mark.parametrize(
    ("reply", "status", "body", "keep"),
    [
        (WITH_LENGTH, 200, b'{"a": 1}', True),
        (IN_CHUNKS, 200, b"{}\n0123456789", True),
        (WITHOUT_LENGTH, 200, b"{}", False),
        (AFTER_HINTS, 200, b'{"a": 1}', True),
        (EMPTY, 204, b"", True),
        (REFUSED, 503, b"{}", False),
    ],
)
def test_a_reply_has_its_status_body_and_end(reply: bytes, status: int, body: bytes, keep: bool) -> None:
    found = read([reply])
    assert (found[0], found[2], found[3], found[4]) == (status, body, True, keep)


def test_names_are_lower_case_and_repeated_headers_are_joined() -> None:
    headers = read([OK + b"X-A: 1 \r\nx-a:  2\r\nEmpty:\r\nContent-Length: 0\r\n\r\n"])[1]
    assert headers == {"x-a": "1, 2", "empty": "", "content-length": "0"}


def test_headers_after_a_body_are_not_headers_of_the_reply() -> None:
    assert set(read([IN_CHUNKS])[1]) == {"transfer-encoding"}


def test_one_parser_reads_one_reply_after_the_other() -> None:
    parser = ReplyParser()
    for _ in range(2):
        for reply in (WITH_LENGTH, IN_CHUNKS, AFTER_HINTS, EMPTY):
            parser.begin()
            assert read([reply], parser) == read([reply])


@given(st.sampled_from(VALID), st.lists(st.integers(0, 1000), max_size=40))
def test_pieces_do_not_change_what_is_read(reply: bytes, places: list[int]) -> None:
    assert read(cut(reply, places)) == read([reply])


@given(st.sampled_from(VALID), st.integers(0, 1000))
def test_a_reply_that_ends_early_is_not_complete(reply: bytes, place: int) -> None:
    part = reply[: place % len(reply)]
    if reply is WITHOUT_LENGTH and b"\r\n\r\n" in part:
        return  # only the end of the connection ends it
    assert not read([part])[3]


FAULTS = {
    "two lengths": OK + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
    "two different lengths": OK + b"Content-Length: 2, 3\r\n\r\n{}",
    "a length and chunks": OK + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks and a length": OK + b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n0\r\n\r\n",
    "a signed length": OK + b"Content-Length: +2\r\n\r\n{}",
    "an endless length": OK + b"Content-Length: 99999999999999999999\r\n\r\n{}",
    "a compressed transfer": OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "chunked twice": OK + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "an unknown transfer": OK + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "a chunk size that is none": OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    "a chunk longer than said": OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n0\r\n\r\n",
    "bytes after the end": WITH_LENGTH + b"{}",
    "a second reply": WITH_LENGTH + WITH_LENGTH,
    "bytes after a closing reply": REFUSED + b"x",
    "a body where none may be": EMPTY + b"{}",
    "an upgrade": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    "a status below all": b"HTTP/1.1 000 Nothing\r\nContent-Length: 0\r\n\r\n",
    "a status above all": b"HTTP/1.1 600 Much\r\nContent-Length: 0\r\n\r\n",
    "another version": b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
    "lines without a carriage return": b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
    "a folded header": OK + b"X: a\r\n b\r\nContent-Length: 0\r\n\r\n",
    "a space before the colon": OK + b"Content-Length : 0\r\n\r\n",
    "not HTTP at all": b"SSH-2.0-OpenSSH_9.2\r\n",
}


@pytest.mark.parametrize("reply", FAULTS.values(), ids=FAULTS)
def test_an_uncertain_end_is_a_fault(reply: bytes) -> None:
    with pytest.raises(NotHttpError):
        read([reply])


@pytest.mark.parametrize("reply", FAULTS.values(), ids=FAULTS)
def test_an_uncertain_end_is_a_fault_byte_by_byte(reply: bytes) -> None:
    with pytest.raises(NotHttpError):
        read([reply[at : at + 1] for at in range(len(reply))])


def test_what_arrived_before_a_fault_can_still_be_taken() -> None:
    parser = begun()
    with pytest.raises(NotHttpError):
        parser.feed(OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\nzz\r\n")
    assert parser.take() == b"{}"


@pytest.mark.parametrize("piece_bytes", [1_000, 50_000, 300_000])
@pytest.mark.parametrize(
    ("start", "endless"),
    [
        (OK + b"X: ", b"a"),
        (OK, b"X: y\r\n"),
        (b"", b"\r\n"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n1;x=", b"a"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\nX: ", b"a"),
    ],
)
def test_framing_without_end_is_a_fault_soon(start: bytes, endless: bytes, piece_bytes: int) -> None:
    parser = begun()
    parser.feed(start)
    piece = endless * (piece_bytes // len(endless))
    for _ in range(HEAD_BYTES_MAX // len(piece)):
        parser.feed(piece)
    with pytest.raises(NotHttpError):
        parser.feed(piece)


def test_a_head_just_below_the_bound_is_read() -> None:
    filler = b"X: " + b"a" * (HEAD_BYTES_MAX - 100) + b"\r\n"
    assert read([OK + filler + b"Content-Length: 300000\r\n\r\n" + b"b" * 300_000])[2] == b"b" * 300_000


@given(
    st.sampled_from(VALID),
    st.lists(st.tuples(st.integers(0, 1000), st.binary(max_size=4), st.integers(0, 4)), min_size=1, max_size=4),
    st.lists(st.integers(0, 1000), max_size=8),
)
def test_damaged_bytes_are_read_or_refused_alike_in_any_pieces(
    reply: bytes, damages: list[tuple[int, bytes, int]], places: list[int]
) -> None:
    for place, put, left_out in damages:
        at = place % (len(reply) + 1)
        reply = reply[:at] + put + reply[at + left_out :]

    def outcome(pieces: Sequence[bytes]) -> Read | None:
        try:
            return read(pieces)
        except NotHttpError:
            return None

    assert outcome(cut(reply, places)) == outcome([reply])
