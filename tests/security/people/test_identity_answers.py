"""Answers of an identity provider that are no answers: each is bounded, named, and not remembered."""

import asyncio
import socket
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from identity_calls import SECONDS_MAX, SIGN_IN, refused, sign_in
from identity_provider import CLIENT_ID, CLIENT_SECRET, IdentityProviderStandIn, reply_json
from tessera.adapters.people.oidc import OidcProvider
from tessera.domain.errors import ErrorCode

pytestmark = pytest.mark.anyio


def endless(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.send_header("Connection", "close")
    handler.end_headers()
    handler.wfile.write(b'{"keys": [')
    for _ in range(1_000):
        handler.wfile.write(b'{"kty": "RSA"},' * 1_000)


def dripping(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.send_header("Connection", "close")
    handler.end_headers()
    for _ in range(200):
        handler.wfile.write(b" ")
        handler.wfile.flush()
        time.sleep(0.05)


def silent(handler: BaseHTTPRequestHandler) -> None:
    time.sleep(3 * SECONDS_MAX)


def cut_off(handler: BaseHTTPRequestHandler) -> None:
    handler.close_connection = True
    handler.connection.shutdown(socket.SHUT_RDWR)


STRANGE: dict[str, Callable[[BaseHTTPRequestHandler], None]] = {
    "endless": endless,
    "dripping": dripping,
    "silent": silent,
    "HTML": lambda handler: reply_json(handler, 200, b"<html>"),
    "no UTF-8": lambda handler: reply_json(handler, 200, b'{"keys":"\xff"}'),
    "a list": lambda handler: reply_json(handler, 200, []),
    "deep": lambda handler: reply_json(handler, 200, b'{"a":' * 50_000),
    "an error": lambda handler: reply_json(handler, 500, {}),
    "elsewhere": lambda handler: reply_json(handler, 302, {}, Location="http://127.0.0.1:1/"),
    "compressed": lambda handler: reply_json(handler, 200, {}, Content_Encoding="gzip"),
    "cut off": cut_off,
}


@pytest.mark.parametrize(
    ("place", "name"),
    [("/keys", name) for name in STRANGE]
    + [(place, name) for place in ("/.well-known/openid-configuration", "/token") for name in ("endless", "dripping")],
)
async def test_a_provider_that_does_not_answer_is_bounded_and_named(
    idp: IdentityProviderStandIn, place: str, name: str
) -> None:
    answer = STRANGE[name]
    bounded = answer in (dripping, silent)
    opened = OidcProvider(
        "corp",
        idp.issuer,
        CLIENT_ID,
        CLIENT_SECRET,
        lambda: int(time.time()),
        **({"seconds_max": SECONDS_MAX} if bounded else {}),
    )
    try:
        idp.answers[place] = answer
        await refused(opened, ErrorCode.PROVIDER_ERROR)
        idp.forget()
        if not bounded:
            assert (await sign_in(opened)).subject == "ada", "a failure is not remembered"
    finally:
        await opened.close()


@pytest.mark.parametrize(
    "described",
    [
        {"issuer": "https://evil.example"},
        {"jwks_uri": "http://evil.example/keys"},
        {"token_endpoint": "file:///etc/passwd"},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"token_endpoint": "https://user:password@evil.example/token"},
        {"userinfo_endpoint": "http://[::"},
        {"token_endpoint": None},
        {"jwks_uri": 7},
    ],
    ids=str,
)
async def test_a_discovery_document_that_cannot_be_right_is_refused(
    idp: IdentityProviderStandIn, provider: OidcProvider, described: dict[str, Any]
) -> None:
    idp.discovery = described
    await refused(provider, ErrorCode.PROVIDER_ERROR)


async def test_too_many_keys_are_refused(idp: IdentityProviderStandIn, provider: OidcProvider) -> None:
    idp.published = [idp.keys[0].public()] * 101
    await refused(provider, ErrorCode.PROVIDER_ERROR)


async def test_many_who_begin_at_once_ask_the_provider_once(
    idp: IdentityProviderStandIn, provider: OidcProvider
) -> None:
    urls = await asyncio.gather(*(provider.authorization_url(SIGN_IN) for _ in range(20)))
    assert len(set(urls)) == 1
    assert idp.asked == ["/.well-known/openid-configuration"]
