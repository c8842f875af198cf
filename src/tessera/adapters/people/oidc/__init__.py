"""Sign-in at identity providers by OpenID Connect: the authorization code flow with PKCE, as a client.

Owns the provider's documents (discovery, keys), the exchange of a code and the signature of an ID token. Always holds:
every answer is bounded in bytes and in time and no redirect is followed; a signature is by one of the allowed
algorithms, with a key of its own kind; no key comes from the token itself.
"""

from tessera.adapters.people.oidc.provider import OidcProvider

__all__ = ["OidcProvider"]
