"""The media port as flows see it."""

import base64
from collections.abc import AsyncIterator

import pytest

import image_files as files
from strange_servers import PUBLIC, Rig, strange_servers
from tessera.adapters.media import GuardedFetch, MediaLimits, MediaProber
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.request import ImageOrigin, ImagePart

pytestmark = pytest.mark.anyio


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    async with strange_servers() as servers:
        yield servers


@pytest.fixture
async def fetch(rig: Rig) -> AsyncIterator[GuardedFetch]:
    guarded = GuardedFetch(MediaLimits(fetch_s=2), ports=(rig.port,), allow=(f"{PUBLIC}/32",))
    yield guarded
    await guarded.close()


def data(content: bytes, index: int = 0, declared: str = "image/png") -> ImagePart:
    text = memoryview(base64.b64encode(content))
    return ImagePart(index=index, origin=ImageOrigin.DATA, data=text, media_type=declared, param=f"p{index}")


def url(address: str, index: int = 0) -> ImagePart:
    return ImagePart(index=index, origin=ImageOrigin.URL, url=address, param=f"p{index}")


async def test_images_come_back_in_order_whatever_their_origin(rig: Rig, fetch: GuardedFetch) -> None:
    parts = [
        url(rig.url("image.png"), 0),
        data(files.saved("JPEG", exif=files.exif(8)), 1),
        url(rig.url("chunked"), 2),
        data(files.saved("GIF"), 3),
    ]
    found = await MediaProber(fetch).probe(parts)
    assert [image.index for image in found] == [0, 1, 2, 3]
    assert [image.format for image in found] == ["png", "jpeg", "png", "gif"]
    assert [(image.width, image.height) for image in found] == [(96, 64), (64, 96), (96, 64), (96, 64)]
    assert [image.content is None for image in found] == [False, True, False, True]


async def test_an_address_named_twice_is_fetched_once(rig: Rig, fetch: GuardedFetch) -> None:
    found = await MediaProber(fetch).probe([url(rig.url("image.png"), index) for index in range(5)])
    assert len(found) == 5
    assert len(rig.web.heads) == 1
    assert len({id(image.content) for image in found}) == 1


async def test_the_declared_type_is_not_believed(fetch: GuardedFetch) -> None:
    found = await MediaProber(fetch).probe([data(files.saved("WEBP"), declared="image/png")])
    assert found[0].format == "webp"


async def test_nothing_is_fetched_when_a_cheap_check_refuses(rig: Rig, fetch: GuardedFetch) -> None:
    file = ImagePart(index=1, origin=ImageOrigin.FILE, url="file-123", param="p1")
    for other, code in (
        (data(b"no image", 1), ErrorCode.UNSUPPORTED_IMAGE_FORMAT),
        (url("ftp://example.com", 1), ErrorCode.INVALID_IMAGE_URL),
        (file, ErrorCode.UNSUPPORTED_PARAMETER),
    ):
        with pytest.raises(TesseraError) as caught:
            await MediaProber(fetch).probe([url(rig.url("image.png")), other])
        assert (caught.value.code, caught.value.param) == (code, "p1")
    assert rig.web.heads == []


async def test_one_failed_download_ends_the_others(rig: Rig, fetch: GuardedFetch) -> None:
    parts = [url(rig.url(f"silent?{index}"), index) for index in range(20)]
    with pytest.raises(TesseraError) as caught:
        await MediaProber(fetch).probe([*parts, url(rig.url("status/404"), 20)])
    assert caught.value.code is ErrorCode.FAILED_TO_DOWNLOAD_IMAGE
    with pytest.raises(TesseraError) as caught:
        await MediaProber(fetch).probe([*parts[:5], url(rig.url("status/404"), 20)])
    assert caught.value.param == "p20"


async def test_a_call_fetches_a_few_images_at_once(rig: Rig, fetch: GuardedFetch) -> None:
    found = await MediaProber(fetch).probe([url(rig.url(f"image.png?{index}"), index) for index in range(40)])
    assert len(found) == len(rig.web.heads) == 40


async def test_facts_for_advisories_are_read(rig: Rig, fetch: GuardedFetch) -> None:
    photo = files.saved("JPEG", exif=files.exif(3, make="Canon", lens="Fisheye 8mm", description="My garden"))
    found = await MediaProber(fetch).probe([data(photo), url(rig.url("image.png/Chest-XRay.png"), 1)])
    assert found[0].facts.orientation == 3
    assert "fisheye" in found[0].facts.camera
    assert found[0].facts.description == "my garden"
    assert found[1].facts.description == "chest-xray.png"


@pytest.mark.parametrize("by_url", [False, True])
async def test_heic_and_avif_are_converted_when_the_extra_is_there(rig: Rig, fetch: GuardedFetch, by_url: bool) -> None:
    prober = MediaProber(fetch, convert=True)
    for content in (files.heic(), files.saved("AVIF", exif=files.exif(6))):
        part = url(rig.url(f"body/{content.hex()}")) if by_url else data(content)
        image = (await prober.probe([part]))[0]
        assert image.format == "jpeg"
        assert image.content is not None
        assert image.content[:3] == b"\xff\xd8\xff"
        assert image.size_bytes == len(image.content)
        assert {image.width, image.height} == {96, 64}
        assert image.orientation == 1


async def test_without_the_extra_they_are_refused_with_a_way_out(fetch: GuardedFetch) -> None:
    with pytest.raises(TesseraError) as caught:
        await MediaProber(fetch, convert=False).probe([data(files.heic())])
    assert caught.value.code is ErrorCode.UNSUPPORTED_IMAGE_FORMAT
    assert "heif" in caught.value.message
