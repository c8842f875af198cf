"""The images and the question of a call, for those who answer it themselves."""

import asyncio
import binascii
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.request import ImagePart, InferenceRequest
from tessera.ports import UpstreamCall


async def image_contents(call: UpstreamCall) -> list[bytes]:
    """The bytes of each image in reading order: as fetched, or decoded from the body, off the event loop.

    Raises [invalid_base64_image] for data that is not base64, [failed_to_download_image] for an image nobody fetched.
    """
    if not call.request.images:
        return []
    fetched = {image.index: image.content for image in call.images if image.content is not None}
    return await asyncio.to_thread(_decode_all, call.request.images, fetched)


def _decode_all(images: Sequence[ImagePart], fetched: dict[int, bytes]) -> list[bytes]:
    return [fetched[image.index] if image.index in fetched else _decode(image) for image in images]


def _decode(image: ImagePart) -> bytes:
    if image.data is None:
        raise TesseraError(
            ErrorCode.FAILED_TO_DOWNLOAD_IMAGE, "The image could not be downloaded.", param=image.param or None
        )
    try:
        return binascii.a2b_base64(image.data, strict_mode=True)
    except binascii.Error:
        pass
    try:
        # JSON may write the slashes of base64 as \/.
        return binascii.a2b_base64(bytes(image.data).replace(b"\\/", b"/"), strict_mode=True)
    except binascii.Error:
        raise TesseraError(
            ErrorCode.INVALID_BASE64_IMAGE,
            "The image's data URL is not valid base64.",
            param=image.param or None,
        ) from None


@contextmanager
def naming_images(request: InferenceRequest) -> Iterator[None]:
    """An image at fault, `images[N]` to whoever looks at it, is named as the caller wrote it."""
    try:
        yield
    except TesseraError as error:
        for image in request.images:
            if error.param == f"images[{image.index}]" and image.param:
                error.param = image.param
                break
        raise


def last_question(request: InferenceRequest) -> str:
    """The text of the last user message; empty when there is none."""
    for message in reversed(request.messages):
        if message.role == "user":
            return "\n".join(message.texts)
    return ""
