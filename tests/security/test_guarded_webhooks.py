"""T27, T28: addresses of webhooks are dialled by the same rules as an image's, at every delivery anew.

The rig is that of the guarded fetch; its public address is allowed here and nothing else beside the policy is changed.
"""

import contextlib
import time
from collections.abc import AsyncIterator
from urllib.parse import quote

import pytest

from strange_servers import PRIVATE, PUBLIC, Resolver, Rig, strange_servers
from tessera.adapters import webhooks as module
from tessera.adapters.media.addresses import AddressPolicy
from tessera.adapters.media.limits import MediaLimits
from tessera.adapters.media.session import open_session
from tessera.adapters.webhooks import GuardedWebhooks
from tessera.domain.errors import ErrorCode, TesseraError

pytestmark = pytest.mark.anyio

REFUSED = "the address could not be reached"
BODY, HEADERS = b'{"type":"alert.raised"}', {"content-type": "application/json"}


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    async with strange_servers() as servers:
        yield servers


@contextlib.asynccontextmanager
async def sending(rig: Rig) -> AsyncIterator[GuardedWebhooks]:
    """As the product makes it, with the rig's names and its public address."""
    sender = GuardedWebhooks(ports=(80, 443, rig.port))
    policy = AddressPolicy(allow=(f"{PUBLIC}/32",))
    sender._policy = policy
    sender._session = open_session(MediaLimits(), policy, Resolver(rig.dns), None)
    try:
        yield sender
    finally:
        await sender.close()


async def assert_refused(rig: Rig, url: str) -> None:
    async with sending(rig) as sender:
        with pytest.raises(OSError, match=REFUSED):
            await sender.send(url, BODY, HEADERS)
    assert rig.touched == 0


async def test_a_delivery_reaches_a_public_address_and_no_answer_is_read(rig: Rig) -> None:
    async with sending(rig) as sender:
        for path in ("image.png", "endless", "gzip", "wrong-type"):
            await sender.send(rig.url(path), BODY, HEADERS)
    assert all(head.startswith("POST ") for head in rig.web.heads)
    assert rig.web.sent_bytes < 20_000_000


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_no_redirect_is_followed(rig: Rig, status: int) -> None:
    async with sending(rig) as sender:
        for target in (f"http://{PRIVATE}:{rig.port}/", rig.url("image.png"), "/image.png"):
            with pytest.raises(OSError, match=str(status)):
                await sender.send(rig.url(f"redirect/{status}?to={quote(target)}"), BODY, HEADERS)
    assert rig.touched == 0
    assert len(rig.web.heads) == 3


@pytest.mark.parametrize(
    "answers",
    [
        [PRIVATE],
        ["::1"],
        ["::ffff:127.0.0.2"],
        ["64:ff9b::7f00:2"],
        ["2002:7f00:2::1"],
        ["cname:private.example"],
        ["cname:chain.example"],
        [PUBLIC] * 40 + [PRIVATE],
        [PRIVATE] + [PUBLIC] * 40,
        [PUBLIC, "fd00::1"],
        [],
    ],
)
async def test_one_forbidden_answer_among_however_many_refuses_a_name(rig: Rig, answers: list[str]) -> None:
    rig.dns.names["private.example"] = [[PRIVATE]]
    rig.dns.names["chain.example"] = [["cname:private.example"]]
    rig.dns.names["name.example"] = [answers]
    await assert_refused(rig, rig.url("image.png", "name.example"))
    assert rig.web.heads == []


async def test_a_name_that_turns_private_after_a_delivery_is_not_dialled_again(rig: Rig) -> None:
    """Nothing of an earlier look-up is kept, and no connection of it either."""
    rig.dns.names["rebinds.example"] = [[PUBLIC], [PRIVATE]]
    async with sending(rig) as sender:
        await sender.send(rig.url("image.png", "rebinds.example"), BODY, HEADERS)
        with pytest.raises(OSError, match=REFUSED):
            await sender.send(rig.url("image.png", "rebinds.example"), BODY, HEADERS)
    assert (rig.touched, len(rig.web.heads)) == (0, 1)


FORBIDDEN = [
    "http://127.0.0.2/",
    "http://[::1]/",
    "http://[::ffff:127.0.0.2]/",
    "http://[64:ff9b::127.0.0.2]/",
    "http://[2002:7f00:2::]/",
    "http://169.254.169.254/latest/",
    "http://168.63.129.16/",
    "http://[fd00:ec2::254]/",
    "http://127.0.0.2./",
    "http://127.2/",
    "http://2130706434/",
]
SPELT = [
    "http://0x7f000002:{port}/",
    "http://0177.0.0.2:{port}/",
    "http://localhost:{port}/",
    "http://localhost.:{port}/",
    "http://private.example.:{port}/",
    "http://１２７.0.0.2:{port}/",
    "http://ｌｏｃａｌｈｏｓｔ:{port}/",
    "http://" + "a" * 64 + ".example:{port}/",
    "http://" + ".".join(["a" * 60] * 4) + ".example:{port}/",
    "http://a..example:{port}/",
]
MALFORMED = [
    "https://user:secret@example.com/",
    "https://user@example.com/",
    "ftp://example.com/",
    "https://example.com:8443/",
    "https://exa mple.com/",
    "https://example.com\\@127.0.0.2/",
    "https://[fe80::1%25eth0]/",
    "https://example.com/\r\nX: y",
    "//example.com/",
    "",
]


@pytest.mark.parametrize("url", FORBIDDEN + MALFORMED)
def test_an_address_that_says_what_it_is_is_refused_when_it_is_entered(url: str) -> None:
    with pytest.raises(TesseraError) as caught:
        GuardedWebhooks().check(url)
    assert (caught.value.code, caught.value.param) == (ErrorCode.INVALID_REQUEST, "url")


def test_a_fragment_is_not_kept() -> None:
    assert GuardedWebhooks().check("https://example.com/a?b=c#secret") == "https://example.com/a?b=c"


@pytest.mark.parametrize("url", SPELT)
async def test_one_that_does_not_say_it_is_not_dialled(rig: Rig, url: str) -> None:
    rig.dns.names["private.example"] = [[PRIVATE]]
    address = url.format(port=rig.port)
    await assert_refused(rig, address)
    # And by the operating system's own resolver, with nothing allowed.
    sender = GuardedWebhooks(ports=(rig.port,))
    with pytest.raises(OSError, match=REFUSED):
        await sender.send(address, BODY, HEADERS)
    await sender.close()
    assert rig.touched == 0
    assert rig.web.heads == []


@pytest.mark.parametrize("path", ["silent", "drip-head", "endless-head", "not-http", "nothing"])
async def test_a_receiver_that_misbehaves_takes_no_longer_than_its_time(
    rig: Rig, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SECONDS_MAX", 1)
    started = time.monotonic()
    async with sending(rig) as sender:
        with pytest.raises(OSError, match=r"reached|no answer"):
            await sender.send(rig.url(path), BODY, HEADERS)
    assert time.monotonic() - started < 10
