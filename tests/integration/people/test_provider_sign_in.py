"""Who may sign up at an identity provider, by `sign_up`, and that any replica finishes what another began."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest

from identity_provider import CLIENT_SECRET, IdentityProviderStandIn, Visitor
from tessera.bootstrap import open_people, open_storage
from tessera.bootstrap.people import open_identity_providers
from tessera.bootstrap.providers import read_secret
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.flows.people import provider_sign_in
from tessera.flows.people.accounts import Accounts
from tessera.flows.people.invitations import invite_with_link, withdraw
from tessera.flows.people.organizations import operator_actor
from tessera.flows.people.provider_sign_in import Begun, CameBack
from tessera.flows.people.sessions import Browser, SignedIn
from tessera.ports import Page
from tessera.settings import Settings, load_settings

pytestmark = pytest.mark.anyio

EMAIL = "ada@example.com"


@pytest.fixture
def idp() -> Iterator[IdentityProviderStandIn]:
    with IdentityProviderStandIn(person={"sub": "ada", "email": EMAIL, "email_verified": True}) as stand_in:
        yield stand_in


def settings_in(folder: Path, idp: IdentityProviderStandIn, top: str) -> Settings:
    """Settings with that provider and a data folder of its own."""
    folder.mkdir(exist_ok=True)
    secret, config = folder / "client-secret", folder / "tessera.toml"
    secret.write_text(CLIENT_SECRET)
    config.write_text(f'public_url = "https://api.example.com"\n{top}\n{idp.config("corp", secret)}')
    return load_settings({}, config=config, data_dir=folder / "data")


@contextlib.asynccontextmanager
async def opened_accounts(folder: Path, idp: IdentityProviderStandIn, top: str) -> AsyncIterator[Accounts]:
    """What a server has of people."""
    settings = settings_in(folder, idp, top)
    async with (
        open_storage(settings) as opened,
        open_people(settings, opened, {}) as accounts,
        open_identity_providers(settings, lambda one, place: read_secret(one, {}, place)) as providers,
    ):
        accounts.identity_providers = providers
        yield accounts


async def at_provider(accounts: Accounts) -> tuple[Begun, CameBack]:
    """A sign-in that begins, and what the browser brings back."""
    begun = await provider_sign_in.begin(accounts, "corp")
    back = await asyncio.to_thread(Visitor("http://127.0.0.1:1").get, begun.url)
    assert back.location.startswith("https://api.example.com/account/oidc/corp/callback?")
    query = dict(parse_qsl(urlsplit(back.location).query))
    return begun, CameBack(state=query["state"], code=query["code"])


async def finish(accounts: Accounts, begun: Begun, back: CameBack) -> SignedIn:
    done = await provider_sign_in.finish(accounts, "corp", begun.kept, back, Browser(address="192.0.2.1"))
    assert done is not None
    return done


async def refused(accounts: Accounts) -> None:
    begun, back = await at_provider(accounts)
    with pytest.raises(TesseraError) as caught:
        await finish(accounts, begun, back)
    assert caught.value.code is ErrorCode.PERMISSION_DENIED


async def test_where_sign_up_is_by_invitation_the_invited_join_and_nobody_else(
    tmp_path: Path, idp: IdentityProviderStandIn
) -> None:
    async with opened_accounts(tmp_path, idp, 'sign_up = "invite"') as accounts:
        await refused(accounts)
        organization = await accounts.usage.create_organization("acme")  # type: ignore[attr-defined]
        actor = operator_actor(organization.id)
        offered = await invite_with_link(accounts, actor, EMAIL, "developer")
        await withdraw(accounts, actor, offered["id"])
        await refused(accounts)
        await invite_with_link(accounts, actor, EMAIL, "viewer")
        ada = await finish(accounts, *await at_provider(accounts))
        member = await accounts.people.find_membership(organization.id, ada.person.id)
        assert (ada.person.email, ada.person.name, member and member.role) == (EMAIL, "ada", "viewer")
        (event, *_) = await accounts.people.list_audit_events(organization.id, Page())
        assert (event.action, event.actor_id) == ("invitation.accepted", ada.person.id)
        assert (await finish(accounts, *await at_provider(accounts))).person.id == ada.person.id
        idp.person = {"sub": "bob", "email": "bob@example.com", "email_verified": True}
        await refused(accounts)


async def test_where_sign_up_is_closed_not_even_the_invited_sign_up(
    tmp_path: Path, idp: IdentityProviderStandIn
) -> None:
    async with opened_accounts(tmp_path, idp, 'sign_up = "open"') as accounts:
        ada = await finish(accounts, *await at_provider(accounts))
    async with opened_accounts(tmp_path, idp, 'sign_up = "closed"') as accounts:
        assert (await finish(accounts, *await at_provider(accounts))).person.id == ada.person.id
        idp.person = {"sub": "bob", "email": "bob@example.com", "email_verified": True}
        organization = await accounts.usage.create_organization("acme")  # type: ignore[attr-defined]
        await invite_with_link(accounts, operator_actor(organization.id), "bob@example.com", "viewer")
        await refused(accounts)


async def test_a_replica_finishes_what_another_began_and_once_on_all_of_them(
    tmp_path: Path, idp: IdentityProviderStandIn, database_url: str
) -> None:
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    top = f'database = "{database_url}"\nsecrets_dir = "{secrets}"'
    async with (
        opened_accounts(tmp_path / "first", idp, top) as here,
        opened_accounts(tmp_path / "second", idp, top) as there,
    ):
        begun, back = await at_provider(here)
        done = await finish(there, begun, back)
        assert done.person.email == EMAIL
        for replica in (here, there):
            with pytest.raises(TesseraError) as caught:
                await finish(replica, begun, back)
            assert caught.value.code is ErrorCode.INVALID_REQUEST
        assert (await finish(here, *await at_provider(there))).person.id == done.person.id
