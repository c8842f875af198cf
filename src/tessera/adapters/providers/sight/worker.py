"""The worker process: pictures in on standard input, observations out on standard output, limits on itself.

A frame is a 4-byte length and a MessagePack value. In: `(image bytes, limits)`. Out: `["ok", observation]` or
`["error", code, sentence]`. It ends when its input does, so it never outlives the server.
"""

import os
import resource
import struct
import sys
from typing import BinaryIO

import msgspec
from PIL import Image

from tessera.adapters.providers.sight.look import observe
from tessera.adapters.providers.sight.observation import SightLimits
from tessera.domain.errors import ErrorCode, TesseraError

LENGTH = struct.Struct(">I")


class Job(msgspec.Struct, frozen=True, array_like=True):
    """One picture to look at."""

    image: bytes
    limits: SightLimits


def serve(source: BinaryIO, sink: BinaryIO) -> None:
    """Answers jobs until the input ends."""
    decoder, encoder = msgspec.msgpack.Decoder(Job), msgspec.msgpack.Encoder()
    while head := source.read(LENGTH.size):
        job = decoder.decode(source.read(LENGTH.unpack(head)[0]))
        reply = encoder.encode(look(job))
        sink.write(LENGTH.pack(len(reply)) + reply)
        sink.flush()


def look(job: Job) -> tuple[object, ...]:
    try:
        return "ok", observe(job.image, job.limits)
    except TesseraError as error:
        return "error", error.code.value, error.message
    except MemoryError:
        return "error", ErrorCode.IMAGE_TOO_LARGE.value, "Looking at the image needs more memory than is allowed."


def bound(memory_bytes_max: int) -> None:
    """No more memory than allowed, no new files of any size, no core dump, and a low place in the queue for the CPU."""
    Image.MAX_IMAGE_PIXELS = None  # What is decoded is bounded by `SightLimits`, also where it is shrunk on the way.
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes_max, memory_bytes_max))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.nice(5)


def main() -> None:
    sink = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # What a C library prints must not break the frames.
    bound(int(sys.argv[1]))
    serve(sys.stdin.buffer, sink)


if __name__ == "__main__":
    main()
