"""One file per format: from a source to a header, without decoding a pixel.

Always holds: a parser looks at a bounded number of pieces, believes no length without checking it, and raises only
DamagedError, TruncatedError, NeedBytesError or a refusal.
"""

from tessera.adapters.media.formats.header import DamagedError, Header

__all__ = ["DamagedError", "Header"]
