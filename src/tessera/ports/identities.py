"""What flows need to know people by: identity providers, the storage of who is who there, and addresses that change.

Every verb of storage raises [storage_unavailable] when the database cannot answer, and what it names.
"""

from typing import Protocol

import msgspec

from tessera.domain.deliveries import Errand
from tessera.domain.people.identities import Identity
from tessera.domain.people.records import Act, KnownIdentity, Link, Person, Standing


class ProviderSignIn(msgspec.Struct, frozen=True, kw_only=True):
    """One sign-in at an identity provider. `state` comes back with the browser, `nonce` in the provider's answer;
    `verifier` is what only who began the sign-in can show (PKCE, RFC 7636)."""

    redirect_uri: str
    state: str
    nonce: str
    verifier: str

    def __repr__(self) -> str:
        return f"ProviderSignIn({self.redirect_uri})"


class IdentityProvider(Protocol):
    """Somebody the operator trusts to say who people are (OpenID Connect)."""

    async def authorization_url(self, sign_in: ProviderSignIn) -> str:
        """Where a browser signs in. Raises [provider_error] when the provider cannot be reached."""
        ...

    async def identify(self, sign_in: ProviderSignIn, code: str, issuer: str | None) -> Identity:
        """Who came back with a code; `issuer` is whose answer the browser brought, where it says so.

        Raises [sign_in_failed] for a code that is not good and for an answer that cannot be trusted, [provider_error].
        """
        ...


class Identities(Protocol):
    """Who people are at identity providers, and sign-ins that come back from there."""

    async def use_provider_sign_in(self, digest: str, expires_at: int) -> bool:
        """Uses a sign-in that came back; False if it came back before. Remembered until it could not be used anyway."""
        ...

    async def wait_for_code(self, digest: str, person_id: str, identity: Identity) -> None:
        """Keeps whom the provider vouched for, until their second factor is there or the sign-in expires."""
        ...

    async def find_waiting(self, digest: str) -> tuple[Standing, Identity] | None:
        """Whose second factor a sign-in waits for."""
        ...

    async def end_waiting(self, digest: str) -> bool:
        """Uses what waited; False if it was used before, or has expired."""
        ...

    async def find_by_identity(self, identity: Identity) -> Standing | None:
        """Whose identity it is."""
        ...

    async def link_identity(self, act: Act, identity: Identity, email: str, letter: Errand | None = None) -> bool:
        """Makes an identity the person's, who was known by their address; False if it was theirs before.

        Raises [permission_denied] for somebody else's identity or a person who is somebody else at that issuer,
        [sign_in_failed] for a person who has another address by now, [not_found].
        """
        ...

    async def become_person_by_identity(
        self, act: Act, link: Link, identity: Identity, *, by_invitation: bool
    ) -> Person | None:
        """A new person with an organization of their own, whose identity this is; with `by_invitation` they take the
        latest open invitation of the address, and it is None that there is none.

        Raises [invalid_request] for an address that has an account.
        """
        ...

    async def list_identities(self, person_id: str) -> tuple[KnownIdentity, ...]:
        """Who a person is at identity providers, oldest first."""
        ...

    async def unlink_identity(self, act: Act, person_id: str) -> bool:
        """Takes one identity from a person, by its id; False if there is none."""
        ...


class EmailChanges(Protocol):
    """Changes of people's e-mail addresses. A person waits for at most one; nothing changes before it is confirmed."""

    async def ask_email_change(
        self, act: Act, email: str, digest: str, expires_at: int, letters: tuple[Errand, ...] = ()
    ) -> None:
        """Keeps what the link of a letter stands for, in place of what the person asked before. Raises [not_found]."""
        ...

    async def change_email(
        self, act: Act, digest: str, keep_session: str, letter: Errand | None = None
    ) -> Person | None:
        """Gives the person the address that a link stands for; every other session ends, and links sent to the old
        address work no more. Invitations follow the person. None: the link is not this person's, or cannot be used.

        Raises [invalid_request] for an address that has an account by now.
        """
        ...
