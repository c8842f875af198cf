"""What a file is by its first bytes, for files that no vision model takes: named, so that the caller can act."""

_STARTS: tuple[tuple[bytes, str], ...] = (
    (b"BM", "a BMP image"),
    (b"II*\0", "a TIFF image"),
    (b"MM\0*", "a TIFF image"),
    (b"II+\0", "a TIFF image"),
    (b"MM\0+", "a TIFF image"),
    (b"%PDF", "a PDF document"),
    (b"8BPS", "a Photoshop file"),
    (b"\0\0\1\0", "an icon file"),
    (b"\xff\x0a", "a JPEG XL image"),
    (b"\0\0\0\x0cJXL ", "a JPEG XL image"),
    (b"\0\0\0\x0cjP  ", "a JPEG 2000 image"),
    (b"\xff\x4f\xff\x51", "a JPEG 2000 image"),
    (b"qoif", "a QOI image"),
    (b"v/1\x01", "an OpenEXR image"),
    (b"DDS ", "a DDS texture"),
    (b"P1", "a Netpbm image"),
    (b"P4", "a Netpbm image"),
    (b"P5", "a Netpbm image"),
    (b"P6", "a Netpbm image"),
    (b"PK\x03\x04", "a ZIP archive or office document"),
    (b"\x1f\x8b", "a gzip file"),
    (b"\x28\xb5\x2f\xfd", "a Zstandard file"),
    (b"\xd7\xcd\xc6\x9a", "a Windows metafile"),
    (b"\x1aE\xdf\xa3", "a video"),
    (b"OggS", "an Ogg file"),
    (b"ID3", "an audio file"),
    (b"RIFF", "a video or audio file"),
    (b"\x7fELF", "a program"),
    (b"MZ", "a program"),
)
_HEIC = frozenset((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"))
_AVIF = frozenset((b"avif", b"avis"))
HEAD_BYTES = 512
_BOXES_MAX = 64
"""Boxes at the top of a file that are looked at; an image has about four."""


def heif_format(head: bytes) -> str | None:
    """`heic` or `avif` when the first bytes are an ISO media file with an image brand; the brands listed count too."""
    if head[4:8] != b"ftyp" or len(head) < 12:
        return None
    length = min(int.from_bytes(head[:4], "big"), len(head))
    brands = [head[8:12], *(head[at : at + 4] for at in range(16, length - 3, 4))]
    if any(brand in _AVIF for brand in brands):
        return "avif"
    return "heic" if any(brand in _HEIC for brand in brands) else None


def has_heif_items(data: bytes) -> bool:
    """Whether an ISO media file has a whole box that says what images are in it (ISO 14496-12, 4.2): without one there
    is nothing to decode."""
    at = 0
    for _ in range(_BOXES_MAX):
        size, kind, head = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8], 8
        if size == 1:
            size, head = int.from_bytes(data[at + 8 : at + 16], "big"), 16
        elif size == 0:
            size = len(data) - at
        if size < head or at + size > len(data):
            # Past the end of the file the bytes are none, and so is the size.
            return False
        if kind in (b"meta", b"moov") and size > head + 4:
            return True
        at += size
    return False


def name_file(head: bytes) -> str:
    """What a file seems to be, as a noun with its article, from its first HEAD_BYTES."""
    if head[128:132] == b"DICM":
        return "a DICOM medical image"
    if head[344:348] in (b"n+1\0", b"ni1\0"):
        return "a NIfTI medical image"
    if head[4:8] == b"ftyp":
        return "a video"
    for start, name in _STARTS:
        if head.startswith(start):
            return name
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if text.startswith(b"<"):
        if b"<svg" in text:
            return "an SVG drawing"
        return "a web page (HTML)" if b"<html" in text or b"<!doctype html" in text else "an XML or HTML document"
    if text[:1] in (b"{", b"["):
        return "a JSON document"
    if text and all(32 <= byte < 127 or byte in b"\r\n\t" for byte in text):
        return "a text file"
    return "of an unknown kind"
