"""The packed form of a vocabulary: small enough to ship, and exact.

A packed file is zlib-compressed: four bytes (big endian) with the number of tokens, one byte with the length of each
token in rank order, then all tokens' bytes one after the other. Ranks are 0, 1, 2, … without gaps.
"""

import base64
import struct
import zlib

TOKEN_BYTES_MAX = 255
_FORMATS = [f"{length}s" for length in range(TOKEN_BYTES_MAX + 1)]


def pack(ranks: dict[bytes, int]) -> bytes:
    """The packed form. Raises ValueError for ranks with gaps, or tokens that are empty or over 255 bytes."""
    tokens = sorted(ranks, key=lambda token: ranks[token])
    if [ranks[token] for token in tokens] != list(range(len(tokens))):
        raise ValueError("ranks must be 0, 1, 2, … without gaps")
    if any(not 0 < len(token) <= TOKEN_BYTES_MAX for token in tokens):
        raise ValueError("a token is 1 to 255 bytes long")
    lengths = bytes(len(token) for token in tokens)
    return zlib.compress(len(tokens).to_bytes(4, "big") + lengths + b"".join(tokens), 9)


def unpack(packed: bytes) -> dict[bytes, int]:
    """Token → rank. Raises ValueError when the bytes are not a whole packed vocabulary."""
    try:
        data = zlib.decompress(packed)
    except zlib.error as error:
        raise ValueError("not a packed vocabulary") from error
    count = int.from_bytes(data[:4], "big")
    lengths = data[4 : 4 + count]
    if len(lengths) != count or 4 + count + sum(lengths) != len(data):
        raise ValueError("the packed vocabulary is cut off")
    # In one call of C: cutting the tokens one by one takes half as long again.
    tokens = struct.Struct("".join(map(_FORMATS.__getitem__, lengths))).unpack_from(data, 4 + count)
    return dict(zip(tokens, range(count), strict=True))


def tiktoken_file(ranks: dict[bytes, int]) -> bytes:
    """The same vocabulary as OpenAI publishes it (`.tiktoken`): base64 of the token, a blank, the rank, a line each."""
    return b"".join(base64.b64encode(token) + b" %d\n" % rank for token, rank in sorted(ranks.items(), key=_rank))


def _rank(item: tuple[bytes, int]) -> int:
    return item[1]
