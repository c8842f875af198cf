"""Width, height, orientation and frames of an image, from its header alone.

An own parser, because orientation, animation and size come out of one pass over the few bytes that hold them, and
because a parser of strangers' bytes should be small enough to read; tests compare its sizes with two libraries.
"""

from tessera.adapters.media.formats import DamagedError, Header
from tessera.adapters.media.formats.gif import is_gif, read_gif
from tessera.adapters.media.formats.jpeg import SIGNATURE as JPEG
from tessera.adapters.media.formats.jpeg import read_jpeg
from tessera.adapters.media.formats.magic import HEAD_BYTES, heif_format, name_file
from tessera.adapters.media.formats.png import SIGNATURE as PNG
from tessera.adapters.media.formats.png import read_png
from tessera.adapters.media.formats.webp import is_webp, read_webp
from tessera.adapters.media.source import Held, Source, TruncatedError
from tessera.domain.errors import ErrorCode, TesseraError

_ACCEPTED = "Send PNG, JPEG, WebP or a GIF that is not animated."


def probe_header(data: bytes | memoryview, *, complete: bool, param: str | None = None) -> Header:
    """Reads the header of a file, of which `data` is all (`complete`) or the beginning.

    Raises TesseraError [unsupported_image_format, image_parse_error] naming `param`; NeedBytesError when the header
    goes on beyond what is there.
    """
    return read_header(Held(data, complete=complete), param)


def read_header(source: Source, param: str | None) -> Header:
    """As `probe_header`, from any source of bytes."""
    try:
        header = _read(source, param)
    except TruncatedError:
        raise TesseraError(
            ErrorCode.IMAGE_PARSE_ERROR, "The image ends before its header does. Send the whole file.", param=param
        ) from None
    except DamagedError as damage:
        raise TesseraError(
            ErrorCode.IMAGE_PARSE_ERROR, f"The image cannot be read: {damage}. Save it again and resend.", param=param
        ) from None
    if header.frames > 1 and header.format != "png":
        raise TesseraError(
            ErrorCode.UNSUPPORTED_IMAGE_FORMAT,
            f"The image is an animated {header.format.upper()}, which vision models do not accept. "
            "Send one frame of it.",
            param=param,
        )
    return header


def _read(source: Source, param: str | None) -> Header:
    head = source.take_up_to(0, 12)
    if head[:3] == JPEG:
        return read_jpeg(source)
    if head[:8] == PNG:
        return read_png(source)
    if is_webp(head):
        return read_webp(source)
    if is_gif(head):
        return read_gif(source)
    head = source.take_up_to(0, HEAD_BYTES)
    raise TesseraError(_refusal_code(head), _refusal(head), param=param)


def _refusal_code(head: bytes) -> ErrorCode:
    cut_short = any(start.startswith(head) for start in (JPEG, PNG, b"RIFF", b"GIF89a", b"GIF87a"))
    cut_short = cut_short or (head[:4] == b"RIFF" and len(head) < 12)
    return ErrorCode.IMAGE_PARSE_ERROR if cut_short else ErrorCode.UNSUPPORTED_IMAGE_FORMAT


def _refusal(head: bytes) -> str:
    if not head:
        return "The image is empty. Send the whole file."
    if _refusal_code(head) is ErrorCode.IMAGE_PARSE_ERROR:
        return "The image ends before its header does. Send the whole file."
    kind = heif_format(head)
    if kind:
        return (
            f"The file is {kind.upper()}, which vision models do not accept. Convert it to JPEG or PNG before "
            "sending, or have the operator install Tessera's `heif` extra, which converts it."
        )
    return f"The file is {name_file(head)}, which vision models do not accept. {_ACCEPTED}"
