"""Converting a stranger's HEIC or AVIF, in a process of its own with limits on memory and time.

The child reads the file on its standard input and writes a line of JSON and the new file. It exits after one image,
so that a crash or a leak in a decoder stays there.
"""

import asyncio
import importlib.util
import resource
import sys

import msgspec

from tessera.adapters.media.formats.magic import has_heif_items
from tessera.domain.errors import ErrorCode, TesseraError

_MEMORY_BYTES_MAX = 2_000_000_000
_TIME_S_MAX = 20
_AT_ONCE_MAX = 2
_WAITING_MAX = 64
_LINE_BYTES_MAX = 4_096


class Converted(msgspec.Struct, frozen=True, kw_only=True):
    """An image written anew, upright and without metadata."""

    format: str
    width: int
    height: int
    content: bytes


class _Answer(msgspec.Struct, kw_only=True):
    """What the child says first: the new image's shape, or the refusal's code and words."""

    format: str = ""
    width: int = 0
    height: int = 0
    code: str = ""
    message: str = ""


def can_convert() -> bool:
    """Whether the `heif` extra is installed."""
    return importlib.util.find_spec("pi_heif") is not None


class Converter:
    """Runs one child an image, a few at once."""

    def __init__(self, pixels_max: int) -> None:
        self._pixels_max = pixels_max
        self._turns = asyncio.Semaphore(_AT_ONCE_MAX)
        self._waiting = 0

    async def convert(self, data: bytes, param: str | None) -> Converted:
        """Raises [image_parse_error, image_too_large, unsupported_image_format] naming `param`; [overloaded]."""
        if not has_heif_items(data):
            raise TesseraError(
                ErrorCode.IMAGE_PARSE_ERROR,
                "The image's file is cut off or says of no image in it. Save it again and resend.",
                param=param,
            )
        if self._waiting >= _WAITING_MAX:
            raise TesseraError(
                ErrorCode.OVERLOADED, "Too many HEIC and AVIF images wait to be converted.", retry_after_s=1
            )
        self._waiting += 1
        try:
            async with self._turns:
                output = await self._run(data)
        finally:
            self._waiting -= 1
        line, _, content = output.partition(b"\n")
        try:
            answer = msgspec.json.decode(line, type=_Answer)
        except msgspec.DecodeError:
            # Killed by a limit, or crashed: to the caller that is an image that cannot be decoded.
            answer = _Answer(
                code=ErrorCode.IMAGE_PARSE_ERROR, message="The image's pixels cannot be decoded. Convert it."
            )
        if answer.code:
            raise TesseraError(ErrorCode(answer.code), answer.message, param=param)
        return Converted(format=answer.format, width=answer.width, height=answer.height, content=content)

    async def _run(self, data: bytes) -> bytes:
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            "-I",
            "-m",
            __name__,
            str(self._pixels_max),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env={},
        )
        try:
            async with asyncio.timeout(_TIME_S_MAX):
                output, _ = await child.communicate(data)
            return output
        except TimeoutError:
            return b""
        finally:
            if child.returncode is None:
                child.kill()
                await child.wait()


def main() -> None:
    """The child: limits itself, converts standard input, answers on standard output."""
    # Only here: Pillow is the child's, and a server that never decodes a pixel need not load it.
    from tessera.adapters.media.upright import convert

    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES_MAX, _MEMORY_BYTES_MAX))
    resource.setrlimit(resource.RLIMIT_CPU, (_TIME_S_MAX, _TIME_S_MAX))
    content = b""
    try:
        made = convert(sys.stdin.buffer.read(), pixels_max=int(sys.argv[1]))
        answer = _Answer(format=made.format, width=made.width, height=made.height)
        content = made.content
    except TesseraError as refusal:
        answer = _Answer(code=refusal.code, message=refusal.message)
    sys.stdout.buffer.write(msgspec.json.encode(answer) + b"\n" + content)


if __name__ == "__main__":
    main()
