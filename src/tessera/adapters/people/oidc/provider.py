"""One identity provider of the configuration file, as a client of it."""

import base64
import hashlib
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from yarl import URL

from tessera.adapters.people.oidc.answers import SECONDS_MAX, ProviderUnreachableError, Refused, ask, open_session
from tessera.adapters.people.oidc.documents import Discovery, Kept, fetch_discovery, fetch_keys
from tessera.adapters.people.oidc.signatures import SignatureError, UnknownKeyError, signed_claims
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.people.identities import ClaimsError, Identity, identity_of, vouched_for
from tessera.log import get_logger
from tessera.ports.identities import ProviderSignIn

log = get_logger(__name__)

SCOPE = "openid email profile"


class OidcProvider:
    """The port `IdentityProvider`. `now` gives seconds since 1970. Must be closed."""

    def __init__(
        self,
        name: str,
        issuer: str,
        client_id: str,
        client_secret: str | None,
        now: Callable[[], int],
        *,
        seconds_max: float = SECONDS_MAX,
    ) -> None:
        self._name = name
        self._issuer = issuer
        self._client_id = client_id
        self._client_secret = client_secret
        self._now = now
        self._session = open_session(seconds_max)
        self._discovery = Kept(lambda: fetch_discovery(self._session, issuer))
        self._keys = Kept(self._fetch_keys)

    async def authorization_url(self, sign_in: ProviderSignIn) -> str:
        """See the port."""
        try:
            discovery = await self._discovery.get()
        except ProviderUnreachableError as error:
            raise self._unreachable(error) from error
        challenge = base64.urlsafe_b64encode(hashlib.sha256(sign_in.verifier.encode()).digest()).rstrip(b"=")
        asked = {
            "response_type": "code",
            "client_id": self._client_id,
            "redirect_uri": sign_in.redirect_uri,
            "scope": SCOPE,
            "state": sign_in.state,
            "nonce": sign_in.nonce,
            "code_challenge": challenge.decode(),
            "code_challenge_method": "S256",
        }
        return str(URL(discovery.authorization_endpoint).update_query(asked))

    async def identify(self, sign_in: ProviderSignIn, code: str, issuer: str | None) -> Identity:
        """See the port."""
        try:
            discovery = await self._discovery.get()
            self._check_issuer(discovery, issuer)
            answer = await self._exchange(discovery, sign_in, code)
            claims = await self._signed_claims(answer.get("id_token"))
            identity = identity_of(
                claims, issuer=self._issuer, client_id=self._client_id, nonce=sign_in.nonce, now=self._now()
            )
            if "email" in claims or discovery.userinfo_endpoint is None:
                return identity
            return await self._with_userinfo(discovery.userinfo_endpoint, answer.get("access_token"), identity)
        except ProviderUnreachableError as error:
            raise self._unreachable(error) from error
        except (SignatureError, ClaimsError) as error:
            log.warning("oidc.refused", provider=self._name, reason=str(error))
            raise TesseraError(
                ErrorCode.SIGN_IN_FAILED,
                f"What {self._name} says of this sign-in cannot be accepted; the operator's log says why.",
            ) from error

    async def close(self) -> None:
        """Closes every connection."""
        await self._discovery.close()
        await self._keys.close()
        await self._session.close()

    def _check_issuer(self, discovery: Discovery, issuer: str | None) -> None:
        """Who answered the browser, where providers say it (RFC 9207): a code of another one is not brought here."""
        said = issuer is not None or discovery.authorization_response_iss_parameter_supported
        if said and issuer != self._issuer:
            raise ClaimsError("the browser was answered by another issuer")

    async def _exchange(self, discovery: Discovery, sign_in: ProviderSignIn, code: str) -> dict[str, Any]:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": sign_in.redirect_uri,
            "code_verifier": sign_in.verifier,
        }
        headers = {}
        if self._client_secret is None:
            form["client_id"] = self._client_id
        elif "client_secret_basic" in discovery.token_endpoint_auth_methods_supported:
            # Both are encoded as in a form before they are put together (RFC 6749, 2.3.1).
            pair = f"{quote(self._client_id, safe='')}:{quote(self._client_secret, safe='')}"
            headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        else:
            form |= {"client_id": self._client_id, "client_secret": self._client_secret}
        answer = await ask(self._session, "POST", discovery.token_endpoint, form=form, headers=headers)
        if not isinstance(answer, Refused):
            return answer
        if answer.error != "invalid_grant":
            # Our own registration is wrong, which no caller can help.
            raise ProviderUnreachableError(f"it answered {answer.status} {answer.error!r} to the code")
        raise ClaimsError("the code was used, has expired or is another sign-in's")

    async def _signed_claims(self, token: object) -> dict[str, Any]:
        """The claims of an ID token. Keys that do not know it are fetched once more: providers change theirs."""
        if not isinstance(token, str):
            raise ClaimsError("there is no ID token")
        keys = await self._keys.get()
        try:
            return signed_claims(token, keys)
        except UnknownKeyError:
            return signed_claims(token, await self._keys.get(known=keys))

    async def _with_userinfo(self, endpoint: str, access_token: object, identity: Identity) -> Identity:
        """The address and name from UserInfo, where the ID token does not have them (Core 1.0, 5.4)."""
        if not isinstance(access_token, str) or not access_token.isascii() or not access_token.isprintable():
            return identity
        answer = await ask(self._session, "GET", endpoint, headers={"Authorization": f"Bearer {access_token}"})
        if isinstance(answer, Refused):
            return identity
        return vouched_for(answer, identity.issuer, identity.subject)

    async def _fetch_keys(self) -> tuple[dict[str, Any], ...]:
        return await fetch_keys(self._session, (await self._discovery.get()).jwks_uri)

    def _unreachable(self, error: ProviderUnreachableError) -> TesseraError:
        log.error("oidc.unreachable", provider=self._name, reason=str(error))
        return TesseraError(
            ErrorCode.PROVIDER_ERROR,
            f"The identity provider {self._name} does not answer as it should. Try again, or sign in with a password.",
        )
