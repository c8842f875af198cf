"""Signing in at an identity provider, there and back, as a browser does."""

import asyncio
import http.client
from urllib.parse import parse_qs, urlsplit

import pytest

from tessera.adapters.people.oidc import OidcProvider
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.people.identities import Identity
from tessera.ports.identities import ProviderSignIn

SIGN_IN = ProviderSignIn(
    redirect_uri="http://127.0.0.1:1/account/oidc/corp/callback", state="s" * 64, nonce="n" * 64, verifier="v" * 64
)
ADA = {"sub": "ada", "email": "Ada@Example.com", "email_verified": True, "name": "Ada"}
SECONDS_MAX = 0.5


def visit(url: str) -> dict[str, str]:
    """Signs a browser in at the provider; what it comes back with."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)
    try:
        connection.request("GET", f"{parts.path}?{parts.query}")
        location = connection.getresponse().headers["Location"]
    finally:
        connection.close()
    return {name: values[0] for name, values in parse_qs(urlsplit(location).query).items()}


async def sign_in(provider: OidcProvider, asked: ProviderSignIn = SIGN_IN) -> Identity:
    """The whole way, there and back."""
    back = await asyncio.to_thread(visit, await provider.authorization_url(asked))
    return await provider.identify(asked, back["code"], back.get("iss"))


async def refused(provider: OidcProvider, code: ErrorCode = ErrorCode.SIGN_IN_FAILED) -> None:
    with pytest.raises(TesseraError) as caught:
        await sign_in(provider)
    assert caught.value.code is code
