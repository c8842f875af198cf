"""Looks at the images of a call: the media port."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import PurePosixPath

import msgspec
from yarl import URL

from tessera.adapters.media.base64_prefix import open_base64
from tessera.adapters.media.conversion import Converter, can_convert
from tessera.adapters.media.fetch import ByteBudget, GuardedFetch
from tessera.adapters.media.formats import Header
from tessera.adapters.media.formats.magic import HEAD_BYTES, heif_format
from tessera.adapters.media.header import read_header
from tessera.adapters.media.limits import MediaLimits
from tessera.adapters.media.source import Held, Source
from tessera.domain.advisories import ImageFacts
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.request import ImageOrigin, ImagePart
from tessera.ports import ProbedImage

_NAME_CHARS_MAX = 120
# Before a look at this much base64 other calls run: a millisecond has gone into opening the body, and one is to come.
_YIELD_BYTES = 4_000_000


class MediaProber:
    """Implements `ports.Media`. Cheap refusals come first: nothing is fetched until every image has passed them.

    `convert` says whether HEIC and AVIF are converted; by default, when the `heif` extra is installed.
    """

    def __init__(self, fetch: GuardedFetch, limits: MediaLimits | None = None, *, convert: bool | None = None) -> None:
        self._fetch = fetch
        self._limits = limits or MediaLimits()
        wanted = can_convert() if convert is None else convert
        self._converter = Converter(self._limits.pixels_max) if wanted else None

    async def probe(
        self, images: Sequence[ImagePart], take: Callable[[int], None] | None = None
    ) -> tuple[ProbedImage, ...]:
        """As `ports.Media.probe`."""
        if len(images) > self._limits.images_max:
            raise TesseraError(
                ErrorCode.TOO_MANY_IMAGES,
                f"The call has {len(images)} images; this server takes at most {self._limits.images_max}. Send fewer.",
                param=images[self._limits.images_max].param or None,
            )
        budget = ByteBudget(self._limits.images_bytes_max, take)
        found: dict[int, ProbedImage] = {}
        addresses: dict[str, ImagePart] = {}
        for place, part in enumerate(images):
            if part.origin is ImageOrigin.DATA:
                found[place] = await self._probe_data(part, budget)
            elif part.origin is ImageOrigin.FILE:
                raise TesseraError(
                    ErrorCode.UNSUPPORTED_PARAMETER,
                    "Images by file id are not available yet. Send the image's address or a data URL.",
                    param=part.param or None,
                )
            else:
                self._fetch.check(part.url, part.param or None)
                addresses.setdefault(part.url, part)
        files = await self._fetch_all(tuple(addresses.values()), budget) if addresses else {}
        for place, part in enumerate(images):
            if place not in found:
                found[place] = await self._probe_file(part, files[part.url])
        return tuple(found[place] for place in range(len(images)))

    async def _probe_data(self, part: ImagePart, budget: ByteBudget) -> ProbedImage:
        param = part.param or None
        text = part.data if part.data is not None else memoryview(b"")
        if len(text) > _YIELD_BYTES and not part.is_base64:
            await asyncio.sleep(0)
        source = open_base64(text, bytes_max=self._limits.image_bytes_max, param=param, is_base64=part.is_base64)
        budget.spend(source.size, param)
        kind = self._convertible(source)
        if kind:
            return await self._converted(part, source.whole(), kind)
        return _probed(part, read_header(source, param), source.size, None)

    async def _probe_file(self, part: ImagePart, content: bytes) -> ProbedImage:
        source = Held(content, complete=True)
        kind = self._convertible(source)
        if kind:
            return await self._converted(part, content, kind)
        return _probed(part, read_header(source, part.param or None), len(content), content)

    def _convertible(self, source: Source) -> str | None:
        return heif_format(source.take_up_to(0, HEAD_BYTES)) if self._converter else None

    async def _converted(self, part: ImagePart, data: bytes, kind: str) -> ProbedImage:
        assert self._converter is not None
        made = await self._converter.convert(data, part.param or None)
        header = Header(format=made.format, width=made.width, height=made.height)
        return msgspec.structs.replace(_probed(part, header, len(made.content), made.content), converted=True)

    async def _fetch_all(self, parts: Sequence[ImagePart], budget: ByteBudget) -> dict[str, bytes]:
        """Each address once, a few at a time; the first refusal ends the others."""
        turns = asyncio.Semaphore(self._limits.fetches_per_call_max)

        async def fetch_one(part: ImagePart) -> bytes:
            async with turns:
                return await self._fetch.get(
                    part.url, param=part.param or None, look=lambda start: self._look(start, part), budget=budget
                )

        tasks = [asyncio.ensure_future(fetch_one(part)) for part in parts]
        try:
            files = await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        return {part.url: file for part, file in zip(parts, files, strict=True)}

    def _look(self, start: bytes, part: ImagePart) -> None:
        """Refuses a download by its first bytes, before the rest is read."""
        source = Held(start, complete=False)
        if self._convertible(source) is None:
            read_header(source, part.param or None)


def _probed(part: ImagePart, header: Header, size: int, content: bytes | None) -> ProbedImage:
    width, height = header.displayed
    facts = ImageFacts(
        width=width,
        height=height,
        orientation=header.orientation,
        projection=header.projection,
        camera=header.exif.camera,
        description=" ".join(text for text in (header.exif.description, _name(part)) if text),
    )
    return ProbedImage(
        index=part.index,
        source=part.origin.value,
        format=header.format,
        width=width,
        height=height,
        orientation=header.orientation,
        size_bytes=size,
        content=content,
        facts=facts,
    )


def _name(part: ImagePart) -> str:
    """The file's name in its address, in lower case."""
    if part.origin is not ImageOrigin.URL:
        return ""
    return PurePosixPath(URL(part.url).path).name.lower()[:_NAME_CHARS_MAX]
