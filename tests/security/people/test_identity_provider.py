"""What an identity provider says is checked: who signed it, for whom, when and for which sign-in. A real provider over
real sockets, with real signatures; each attack changes one thing of an answer that is otherwise good."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest

from identity_calls import ADA, SIGN_IN, refused, sign_in, visit
from identity_provider import (
    CLIENT_ID,
    CLIENT_SECRET,
    IdentityProviderStandIn,
    SigningKey,
    made_key,
    sign,
)
from tessera.adapters.people.oidc import OidcProvider
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.people.identities import Identity
from tessera.ports.identities import ProviderSignIn

pytestmark = pytest.mark.anyio

RSA = made_key("RSA", 2048)
OTHER_RSA = made_key("RSA", 2048, 1)


async def test_who_signs_in_there_is_known_here(idp: IdentityProviderStandIn, provider: OidcProvider) -> None:
    found = await sign_in(provider)
    assert found == Identity(issuer=idp.issuer, subject="ada", email="ada@example.com", name="Ada")


@pytest.mark.parametrize(
    ("key", "algorithm"),
    [
        (("EC", "P-256"), "ES256"),
        (("OKP", "Ed25519"), "EdDSA"),
        (("OKP", "Ed25519"), "Ed25519"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_each_allowed_algorithm_is_accepted(
    idp: IdentityProviderStandIn, provider: OidcProvider, key: tuple[str, str], algorithm: str
) -> None:
    idp.rotate(SigningKey(made_key(*key), algorithm))
    assert (await sign_in(provider)).subject == "ada"


async def test_an_audience_of_several_needs_us_as_the_authorized_one(
    idp: IdentityProviderStandIn, provider: OidcProvider
) -> None:
    idp.claims = {"aud": ["another", CLIENT_ID], "azp": CLIENT_ID}
    assert (await sign_in(provider)).subject == "ada"
    for azp in (None, "another"):
        idp.claims = {"aud": ["another", CLIENT_ID], "azp": azp}
        await refused(provider)


NOW = int(time.time())
WRONG_CLAIMS: dict[str, dict[str, Any]] = {
    "another nonce": {"nonce": "m" * 64},
    "no nonce": {"nonce": None},
    "a nonce that is no text": {"nonce": 7},
    "another audience": {"aud": "another"},
    "a longer audience": {"aud": f"{CLIENT_ID} "},
    "no audience": {"aud": None},
    "an audience of nobody": {"aud": []},
    "an audience that is no text": {"aud": {CLIENT_ID: True}},
    "another authorized client": {"azp": "another"},
    "another issuer": {"iss": "https://evil.example"},
    "an issuer with a slash more": {"iss": "SLASH"},
    "no issuer": {"iss": None},
    "expired": {"exp": NOW - 120},
    "no expiry": {"exp": None},
    "an expiry as text": {"exp": "9999999999"},
    "an expiry as truth": {"exp": True},
    "an expiry that is no number": {"exp": float("nan")},
    "an endless expiry": {"exp": float("inf")},
    "made tomorrow": {"iat": NOW + 86_400},
    "made yesterday": {"iat": NOW - 86_400},
    "made at no time": {"iat": None},
    "not yet": {"nbf": NOW + 86_400},
    "no subject": {"sub": None},
    "an empty subject": {"sub": ""},
    "a subject too long": {"sub": "x" * 256},
    "a subject that is a number": {"sub": 7},
}


@pytest.mark.parametrize("claims", WRONG_CLAIMS.values(), ids=WRONG_CLAIMS.keys())
async def test_a_wrong_claim_is_refused(
    idp: IdentityProviderStandIn, provider: OidcProvider, claims: dict[str, Any]
) -> None:
    idp.claims = {**claims, **({"iss": f"{idp.issuer}/"} if claims.get("iss") == "SLASH" else {})}
    await refused(provider)
    idp.forget()
    assert (await sign_in(provider)).subject == "ada"


def unsigned(header: dict[str, Any], claims: dict[str, Any]) -> str:
    return sign({"alg": "none", "kid": "first"}, claims, b"").rpartition(".")[0] + "."


def by_public_key(secret: Callable[[], bytes]) -> Callable[[dict[str, Any], dict[str, Any]], str]:
    """Signed with a shared secret that everybody knows: the provider's public key."""

    def signed(_: dict[str, Any], claims: dict[str, Any]) -> str:
        return sign({"alg": "HS256", "kid": "first"}, claims, secret())

    return signed


def with_own_key_in_header(_: dict[str, Any], claims: dict[str, Any]) -> str:
    own = {**OTHER_RSA.as_dict(private=False)}
    return sign({"alg": "RS256", "kid": "first", "jwk": own}, claims, OTHER_RSA)


def altered(_: dict[str, Any], claims: dict[str, Any]) -> str:
    good = SigningKey(RSA).sign({}, claims).split(".")
    other = SigningKey(RSA).sign({}, {**claims, "sub": "eve"}).split(".")
    return f"{good[0]}.{other[1]}.{good[2]}"


FORGERIES: dict[str, Callable[[dict[str, Any], dict[str, Any]], str]] = {
    "alg none": unsigned,
    "HS256 with the public key as PEM": by_public_key(lambda: RSA.as_pem(private=False)),  # type: ignore[union-attr]
    "HS256 with the public key as DER": by_public_key(lambda: RSA.as_der(private=False)),  # type: ignore[union-attr]
    "HS256 with the modulus": by_public_key(lambda: str(RSA.as_dict(private=False)["n"]).encode()),
    "HS256 with the client's secret": by_public_key(lambda: CLIENT_SECRET.encode()),
    "another's key under the same name": SigningKey(OTHER_RSA).sign,
    "a key of its own in the header": with_own_key_in_header,
    "RS512": SigningKey(RSA, "RS512").sign,
    "PS256": SigningKey(RSA, "PS256").sign,
    "ES256 where the key is RSA": SigningKey(made_key("EC", "P-256"), "ES256").sign,
    "a key nobody published": SigningKey(OTHER_RSA, key_id="unknown").sign,
    "no key named where it is another's": SigningKey(OTHER_RSA, key_id=None).sign,
    "altered claims": altered,
    "a critical header that nobody knows": lambda _, claims: SigningKey(RSA).sign({"crit": ["x"], "x": 1}, claims),
    "no signature": lambda _, claims: SigningKey(RSA).sign({}, claims).rpartition(".")[0] + ".",
    "two parts": lambda _, claims: SigningKey(RSA).sign({}, claims).rpartition(".")[0],
    "five parts": lambda _, claims: SigningKey(RSA).sign({}, claims) + ".x.y",
    "nothing": lambda _, __: "",
    "not text that tokens have": lambda _, __: "é.é.é",
    "a list": lambda _, __: SigningKey(RSA).sign({}, []),  # type: ignore[arg-type]
    "huge": lambda _, claims: SigningKey(RSA).sign({}, {**claims, "x": "x" * 180_000}),
}


@pytest.mark.parametrize("forge", FORGERIES.values(), ids=FORGERIES.keys())
async def test_a_forged_signature_is_refused(
    idp: IdentityProviderStandIn, provider: OidcProvider, forge: Callable[[dict[str, Any], dict[str, Any]], str]
) -> None:
    idp.sign = forge
    await refused(provider)
    idp.forget()
    assert (await sign_in(provider)).subject == "ada"


@pytest.mark.parametrize(
    "published",
    [
        {"use": "enc"},
        {"alg": "RS512"},
        {"kty": "oct", "k": "c2VjcmV0"},
        {"n": "!!"},
        {"e": ["AQAB"]},
    ],
    ids=str,
)
async def test_a_published_key_that_is_not_for_this_is_not_used(
    idp: IdentityProviderStandIn, provider: OidcProvider, published: dict[str, Any]
) -> None:
    idp.published = [{**idp.keys[0].public(), **published}]
    await refused(provider)


async def test_a_short_key_is_not_trusted(idp: IdentityProviderStandIn, provider: OidcProvider) -> None:
    idp.rotate(SigningKey(made_key("RSA", 1024)))
    await refused(provider)


async def test_two_keys_of_one_name_leave_no_choice_to_whoever_signs(
    idp: IdentityProviderStandIn, provider: OidcProvider
) -> None:
    idp.keys = [SigningKey(RSA), SigningKey(OTHER_RSA)]
    await refused(provider)
    idp.keys = [SigningKey(RSA, key_id=None)]
    assert (await sign_in(provider)).subject == "ada", "without a name there is only one to choose"


async def test_keys_rotate_and_are_fetched_when_one_is_new(
    idp: IdentityProviderStandIn, provider: OidcProvider
) -> None:
    await sign_in(provider)
    await sign_in(provider)
    assert idp.asked.count("/keys") == 1
    old = idp.keys[0]
    idp.rotate(SigningKey(made_key("EC", "P-256"), "ES256", "second"))
    await sign_in(provider)
    assert idp.asked.count("/keys") == 2
    idp.sign = old.sign
    await refused(provider)
    assert idp.asked.count("/.well-known/openid-configuration") == 1


async def test_a_code_works_once_and_only_with_its_own_verifier(
    idp: IdentityProviderStandIn, provider: OidcProvider
) -> None:
    back = await asyncio.to_thread(visit, await provider.authorization_url(SIGN_IN))
    await provider.identify(SIGN_IN, back["code"], None)
    stolen = await asyncio.to_thread(visit, await provider.authorization_url(SIGN_IN))
    other = ProviderSignIn(
        redirect_uri=SIGN_IN.redirect_uri, state=SIGN_IN.state, nonce=SIGN_IN.nonce, verifier="w" * 64
    )
    for asked, code in ((SIGN_IN, back["code"]), (other, stolen["code"]), (SIGN_IN, "made up")):
        with pytest.raises(TesseraError) as caught:
            await provider.identify(asked, code, None)
        assert caught.value.code is ErrorCode.SIGN_IN_FAILED


async def test_another_issuers_answer_is_not_brought_here(idp: IdentityProviderStandIn, provider: OidcProvider) -> None:
    back = await asyncio.to_thread(visit, await provider.authorization_url(SIGN_IN))
    with pytest.raises(TesseraError) as caught:
        await provider.identify(SIGN_IN, back["code"], "https://evil.example")
    assert caught.value.code is ErrorCode.SIGN_IN_FAILED
    assert "/token" not in idp.asked, "the code goes nowhere"


async def test_a_provider_that_says_who_it_is_must_say_it(idp: IdentityProviderStandIn, provider: OidcProvider) -> None:
    idp.discovery = {"authorization_response_iss_parameter_supported": True}
    await refused(provider)
    idp.says_issuer = True
    assert (await sign_in(provider)).subject == "ada"


@pytest.mark.parametrize("value", [False, None, "true", 1, "yes", ["true"]])
async def test_an_address_that_is_not_verified_is_none(
    idp: IdentityProviderStandIn, provider: OidcProvider, value: object
) -> None:
    idp.claims = {"email_verified": value}
    assert (await sign_in(provider)).email is None


async def test_an_address_may_come_from_userinfo_about_the_same_person_only(
    idp: IdentityProviderStandIn, provider: OidcProvider
) -> None:
    idp.person = {"sub": "ada"}
    idp.userinfo = dict(ADA)
    assert (await sign_in(provider)).email == "ada@example.com"
    idp.userinfo = {**ADA, "email_verified": False}
    assert (await sign_in(provider)).email is None
    for other in ({**ADA, "sub": "eve"}, {}):
        idp.userinfo = other
        await refused(provider)


async def test_the_clients_secret_goes_as_the_provider_takes_it(idp: IdentityProviderStandIn) -> None:
    idp.discovery = {"token_endpoint_auth_methods_supported": ["client_secret_post"]}
    for secret, code in (
        (CLIENT_SECRET, None),
        ("another", ErrorCode.PROVIDER_ERROR),
        (None, ErrorCode.PROVIDER_ERROR),
    ):
        opened = OidcProvider("corp", idp.issuer, CLIENT_ID, secret, lambda: int(time.time()))
        try:
            if code is None:
                assert (await sign_in(opened)).subject == "ada"
            else:
                await refused(opened, code)
        finally:
            await opened.close()
