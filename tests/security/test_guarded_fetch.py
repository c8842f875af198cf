"""T27, T28, T31: addresses from strangers are dialled only where the operator's policy lets them be.

Real sockets, a real DNS server, a real web server; the canary on the private network must never be touched.
"""

import asyncio
import contextlib
import shutil
import ssl
import subprocess
import time
import tracemalloc
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import quote

import pytest
import structlog

from strange_servers import IMAGE, PRIVATE, PUBLIC, Resolver, Rig, strange_servers
from tessera.adapters.media import GuardedFetch, MediaLimits, probe_header
from tessera.domain.errors import ErrorCode, TesseraError

pytestmark = pytest.mark.anyio

LIMITS = MediaLimits(
    image_bytes_max=1_000_000, fetch_s=1.2, connect_s=0.5, first_byte_s=0.5, rate_grace_s=0.3, rate_bytes_min=2_000
)
REFUSAL = (
    "The image could not be downloaded. Check that its address is public and answers quickly with the image, "
    "or send the image itself as a data URL."
)


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    async with strange_servers() as servers:
        yield servers


@contextlib.asynccontextmanager
async def fetching(rig: Rig, limits: MediaLimits = LIMITS) -> AsyncIterator[GuardedFetch]:
    fetch = GuardedFetch(limits, ports=(80, 443, rig.port), allow=(f"{PUBLIC}/32",), resolver=Resolver(rig.dns))
    try:
        yield fetch
    finally:
        await fetch.close()


async def refusal(rig: Rig, url: str, limits: MediaLimits = LIMITS) -> TesseraError:
    """What a caller reads; whatever happened, nobody private was touched."""
    async with fetching(rig, limits) as fetch:
        with pytest.raises(TesseraError) as caught:
            await fetch.get(url, param="p")
    assert rig.touched == 0
    assert caught.value.param == "p"
    return caught.value


async def assert_failed(rig: Rig, url: str, limits: MediaLimits = LIMITS) -> None:
    error = await refusal(rig, url, limits)
    assert (error.code, error.message) == (ErrorCode.FAILED_TO_DOWNLOAD_IMAGE, REFUSAL)


@pytest.mark.parametrize("path", ["image.png", "chunked", "identity", "refresh", "wrong-type", "too-many"])
async def test_an_image_is_fetched_whole(rig: Rig, path: str) -> None:
    async with fetching(rig) as fetch:
        assert await fetch.get(rig.url(path)) == IMAGE
    assert rig.touched == 0


async def test_a_request_carries_nothing_but_what_it_needs(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://{PRIVATE}:{rig.port}")
    monkeypatch.setenv("http_proxy", f"http://{PRIVATE}:{rig.port}")
    async with fetching(rig) as fetch:
        await fetch.get(rig.url(f"redirect/302?to={quote('/image.png')}"))
    assert rig.touched == 0
    for head in rig.web.heads:
        names = {line.split(":")[0].lower() for line in head.split("\r\n")[1:] if line}
        assert names <= {"host", "accept", "accept-encoding", "user-agent", "connection"}
        assert "Accept-Encoding: identity" in head


def forbidden_targets(port: int) -> list[str]:
    return [
        f"http://{PRIVATE}:{port}/image.png",
        f"http://[::1]:{port}/image.png",
        f"http://[::ffff:{PRIVATE}]:{port}/image.png",
        f"http://[::{PRIVATE}]:{port}/image.png",
        f"http://[64:ff9b::{PRIVATE}]:{port}/image.png",
        f"http://[2002:7f00:2::]:{port}/image.png",
        f"http://2130706434:{port}/image.png",
        f"http://0x7f000002:{port}/image.png",
        f"http://0x7f.0.0.2:{port}/image.png",
        f"http://0177.0.0.2:{port}/image.png",
        f"http://127.2:{port}/image.png",
        f"http://127.0.0.2.:{port}/image.png",
        f"http://１２７.0.0.2:{port}/image.png",
        f"http://①②⑦.⓪.⓪.②:{port}/image.png",
        f"http://127。0。0。2:{port}/image.png",
        f"http://0.0.0.0:{port}/image.png",
        f"http://0:{port}/image.png",
        f"http://[::]:{port}/image.png",
        f"http://localhost:{port}/image.png",
        f"http://localhost.:{port}/image.png",
        "http://169.254.169.254/latest/meta-data/",
        "http://10.0.0.1/",
        "http://192.168.0.1/",
        "http://[fd00:ec2::254]/",
        "http://[fe80::1]/",
        "http://100.100.100.200/",
        "http://168.63.129.16/",
        f"http://private.example:{port}/image.png",
    ]


@pytest.mark.parametrize("index", range(28))
async def test_a_forbidden_address_is_not_dialled_however_it_is_spelt(rig: Rig, index: int) -> None:
    rig.dns.names["private.example"] = [[PRIVATE]]
    url = forbidden_targets(rig.port)[index]
    await assert_failed(rig, url)
    # The operating system's resolver knows spellings of addresses that no standard has; and nothing is allowed here.
    fetch = GuardedFetch(LIMITS, ports=(80, rig.port))
    with pytest.raises(TesseraError) as caught:
        await fetch.get(url)
    await fetch.close()
    assert caught.value.message == REFUSAL
    assert rig.touched == 0
    assert rig.web.heads == []


async def test_a_port_that_is_not_allowed_fails_like_any_other_address(rig: Rig) -> None:
    await assert_failed(rig, f"http://{PUBLIC}:{rig.port + 1}/image.png")
    assert rig.web.heads == []


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_to_a_forbidden_address_is_not_followed(rig: Rig, status: int) -> None:
    rig.dns.names["private.example"] = [[PRIVATE]]
    odd = [
        "file:///etc/passwd",
        "ftp://example.com/a",
        f"//{PRIVATE}:{rig.port}/image.png",
        f"http://user:pass@{PUBLIC}:{rig.port}/image.png",
        f"http://user@{PRIVATE}:{rig.port}/image.png",
        f"http://{PUBLIC}:{rig.port}\\@{PRIVATE}:{rig.port}/",
        f"http://{PUBLIC}:22/",
        "",
        "http://",
    ]
    async with fetching(rig) as fetch:
        for target in forbidden_targets(rig.port) + odd:
            location = target if target.isascii() else ""
            with pytest.raises(TesseraError) as caught:
                await fetch.get(rig.url(f"redirect/{status}?to={quote(location)}"))
            assert caught.value.message == REFUSAL, target
    assert rig.touched == 0


@pytest.mark.parametrize(
    "host", ["a" * 64 + ".example", "a..example", ".".join(["a" * 60] * 4) + ".example", "ｌｏｃａｌｈｏｓｔ", "-"]
)
async def test_a_name_that_no_resolver_takes_fails_like_any_other(rig: Rig, host: str) -> None:
    fetch = GuardedFetch(LIMITS, ports=(rig.port,))
    with pytest.raises(TesseraError) as caught:
        await fetch.get(rig.url("image.png", host))
    await fetch.close()
    assert caught.value.message == REFUSAL
    assert (rig.touched, rig.web.heads) == (0, [])


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_to_an_allowed_address_is_followed(rig: Rig, status: int) -> None:
    rig.dns.names["public.example"] = [[PUBLIC]]
    target = quote(rig.url("image.png", "public.example"))
    async with fetching(rig) as fetch:
        assert await fetch.get(rig.url(f"redirect/{status}?to={target}")) == IMAGE
    assert "Cookie" not in rig.web.heads[-1]


async def test_redirects_end_at_the_limit(rig: Rig) -> None:
    def chain(hops: int) -> str:
        target = "/image.png"
        for _ in range(hops):
            target = f"/redirect/302?to={quote(target)}"
        return rig.url(target.lstrip("/"))

    async with fetching(rig) as fetch:
        assert await fetch.get(chain(5)) == IMAGE
    await assert_failed(rig, chain(6))


async def test_a_redirect_in_a_circle_ends_at_once(rig: Rig) -> None:
    await assert_failed(rig, rig.url("circle"))
    assert len(rig.web.heads) == 1


@pytest.mark.parametrize("status", [201, 204, 206, 300, 304, 305, 400, 401, 403, 404, 407, 418, 429, 500, 503])
async def test_any_other_status_is_a_failure(rig: Rig, status: int) -> None:
    await assert_failed(rig, rig.url(f"status/{status}"))


@pytest.mark.parametrize(
    "answers",
    [
        [PRIVATE],
        ["10.0.0.1"],
        ["::1"],
        ["fd00::1"],
        [PUBLIC, PRIVATE],
        [PRIVATE, PUBLIC],
        [PUBLIC, "::1"],
        [PUBLIC, "64:ff9b::7f00:2"],
        ["cname:private.example"],
        [PUBLIC, "cname:private.example"],
        ["cname:chain.example"],
        ["::ffff:127.0.0.2"],
        ["2002:7f00:2::1"],
        [PUBLIC] * 40 + [PRIVATE],
        [PRIVATE] + [PUBLIC] * 40,
        [],
    ],
)
async def test_one_forbidden_answer_refuses_a_name(rig: Rig, answers: list[str]) -> None:
    rig.dns.names["private.example"] = [[PRIVATE]]
    rig.dns.names["chain.example"] = [["cname:private.example"]]
    rig.dns.names["name.example"] = [answers]
    await assert_failed(rig, rig.url("image.png", "name.example"))
    assert rig.web.heads == []


async def test_a_name_is_resolved_once_and_the_checked_address_is_dialled(rig: Rig) -> None:
    rig.dns.names["rebinds.example"] = [[PUBLIC], [PRIVATE]]
    async with fetching(rig) as fetch:
        assert await fetch.get(rig.url("image.png", "rebinds.example")) == IMAGE
        assert rig.dns.asked["rebinds.example"] == 2  # one A, one AAAA
        with pytest.raises(TesseraError):
            await fetch.get(rig.url("image.png", "rebinds.example"))
    assert rig.touched == 0


async def test_a_redirect_to_the_same_name_is_checked_again(rig: Rig) -> None:
    rig.dns.names["rebinds.example"] = [[PUBLIC], [PRIVATE]]
    target = quote(rig.url("image.png", "rebinds.example"))
    await assert_failed(rig, rig.url(f"redirect/302?to={target}", "rebinds.example"))


@pytest.mark.parametrize(
    "path", ["drip", "drip-head", "silent", "too-few", "bad-length", "gzip", "not-http", "nothing", "endless-head"]
)
async def test_a_server_that_misbehaves_is_a_failure_in_bounded_time(rig: Rig, path: str) -> None:
    started = time.monotonic()
    await assert_failed(rig, rig.url(path))
    assert time.monotonic() - started < LIMITS.fetch_s + 1


async def test_two_lengths_are_refused(rig: Rig) -> None:
    await assert_failed(rig, rig.url("two-lengths"))


@pytest.mark.parametrize("path", ["endless", "claims-much"])
async def test_a_file_over_the_limit_is_cut_off(rig: Rig, path: str) -> None:
    tracemalloc.start()
    error = await refusal(rig, rig.url(path))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert error.code is ErrorCode.IMAGE_TOO_LARGE
    assert peak < 10_000_000
    assert rig.web.sent_bytes < 20_000_000


async def test_a_download_ends_when_its_first_bytes_are_no_image(rig: Rig) -> None:
    async with fetching(rig, MediaLimits(image_bytes_max=10**9)) as fetch:
        with pytest.raises(TesseraError) as caught:
            await fetch.get(rig.url("endless-page"), look=lambda start: probe_header(start, complete=False))
    assert caught.value.code is ErrorCode.UNSUPPORTED_IMAGE_FORMAT
    assert rig.web.sent_bytes < 20_000_000


async def test_a_closed_port_and_a_blocked_address_take_alike(rig: Rig) -> None:
    times = {}
    async with fetching(rig) as fetch:
        for name, url in {
            "blocked": f"http://{PRIVATE}:{rig.port}/image.png",
            "closed": f"http://{PUBLIC}:443/image.png",
            "missing": rig.url("status/404"),
            "no-name": "http://nobody.example/",
        }.items():
            started = time.monotonic()
            with pytest.raises(TesseraError):
                await fetch.get(url)
            times[name] = time.monotonic() - started
    assert all(0.02 < took < 1 for took in times.values()), times


@pytest.mark.parametrize(
    "url",
    ["ftp://example.com/", "http://user@example.com/", "http://a\\b/", "nonsense", "",
     "http://[fe80::1%25eth0]/", "http://example.com/\r\nX: y"],
)  # fmt: skip
async def test_bad_syntax_has_its_own_code_and_no_socket(rig: Rig, url: str) -> None:
    error = await refusal(rig, url)
    assert error.code is ErrorCode.INVALID_IMAGE_URL
    assert "address cannot be used" in error.message


async def test_the_log_has_the_reason_and_the_host_but_no_path_or_secret(rig: Rig) -> None:
    with structlog.testing.capture_logs() as lines:
        await assert_failed(rig, f"http://{PRIVATE}:{rig.port}/secret-path?token=secret-token")
        await assert_failed(rig, rig.url("status/404?token=secret-token"))
    assert [line["host"] for line in lines] == [PRIVATE, PUBLIC]
    assert "may not be dialled" in lines[0]["reason"] or "Cannot connect" in lines[0]["reason"]
    assert "404" in lines[1]["reason"]
    assert "secret" not in repr(lines)


def make_certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """A certificate for a name, signed by itself, and its key."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed here")
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    kind = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    names = ["-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}"]
    where = ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run(["openssl", "req", *kind, *names, *where], check=True, capture_output=True)
    return certificate, key


async def test_tls_is_verified_against_the_name_although_the_address_is_pinned(rig: Rig, tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path, "public.example")
    own = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    own.load_cert_chain(certificate, key)
    server = await asyncio.start_server(rig.web.serve, PUBLIC, 0, ssl=own)
    port = server.sockets[0].getsockname()[1]
    rig.dns.names.update({"public.example": [[PUBLIC]], "other.example": [[PUBLIC]]})
    trusting = ssl.create_default_context(cafile=str(certificate))
    for context, host, works in (
        (trusting, "public.example", True),
        (trusting, "other.example", False),
        (None, "public.example", False),
    ):
        fetch = GuardedFetch(
            LIMITS, ports=(port,), allow=(f"{PUBLIC}/32",), resolver=Resolver(rig.dns), ssl_context=context
        )
        if works:
            assert await fetch.get(f"https://{host}:{port}/image.png") == IMAGE
        else:
            with pytest.raises(TesseraError) as caught:
                await fetch.get(f"https://{host}:{port}/image.png")
            assert caught.value.message == REFUSAL
        await fetch.close()
    server.close()


async def test_no_connection_is_left_behind(rig: Rig) -> None:
    async with fetching(rig) as fetch:
        for path in ("image.png", "silent", "endless", "drip"):
            with contextlib.suppress(TesseraError):
                await fetch.get(rig.url(path))
    for _ in range(50):
        if rig.web.open == 0:
            break
        await asyncio.sleep(0.02)
    # A handler that sleeps notices only when it writes; the others are gone.
    assert rig.web.open <= 1
