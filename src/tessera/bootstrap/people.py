"""The part of the composition root that is about people: the database, mail server and hashing that they need."""

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Callable

from tessera.adapters.people.mail import LoggedMail, SmtpMail, SmtpServer
from tessera.adapters.people.passwords import Argon2Passwords
from tessera.adapters.storage.alerts import SqlAlerts
from tessera.adapters.storage.people import SqlPeople
from tessera.adapters.webhooks import GuardedWebhooks
from tessera.flows.alerts.duty import watch_alerts
from tessera.flows.duties import start_duty
from tessera.flows.operator.credentials import Vault
from tessera.flows.operator.customers import Clientele
from tessera.flows.operator.prices import PriceList
from tessera.flows.people.accounts import AccountLimits, Accounts
from tessera.ports.identities import IdentityProvider
from tessera.ports.people import Mail
from tessera.ports.usage import UsageRecords
from tessera.settings import Settings


@contextlib.asynccontextmanager
async def open_accounts(
    settings: Settings,
    people: SqlPeople,
    usage: UsageRecords,
    prices: PriceList,
    digest: Callable[[str], bytes],
    make_id: Callable[[str], str],
    smtp_password: str | None,
    vault: Vault,
    clientele: Clientele,
) -> AsyncIterator[Accounts]:
    """What the flows of people work with; at the end, letters on their way are waited for.

    Links lead to `public_url`; whoever serves without one sets `base_url` once the address is known.
    """
    # Half the processors at most: calls go on while people sign in.
    passwords = Argon2Passwords(
        memory_kib=settings.limits.password_memory_kib, at_once=max(1, len(os.sched_getaffinity(0)) // 2)
    )
    limits = settings.limits
    webhooks = GuardedWebhooks(
        allow_private_networks=settings.webhooks.allow_private_networks, ports=settings.webhooks.ports
    )
    accounts = Accounts(
        alerts=SqlAlerts(people.database, people.now, people.make_id, people.signing_key),
        webhooks=webhooks,
        vault=vault,
        clientele=clientele,
        people=people,
        usage=usage,
        prices=prices,
        passwords=passwords,
        mail=_mail(settings, smtp_password),
        digest=digest,
        random=os.urandom,
        make_id=make_id,
        now=_now,
        sign_up=settings.sign_up,
        has_model=prices.catalogue.has_model,
        base_url=(settings.public_url or f"http://{settings.listen}").rstrip("/"),
        limits=AccountLimits(
            tries_per_account_max=limits.tries_per_account_max,
            tries_per_address_max=limits.tries_per_address_max,
            letters_per_mailbox_max=limits.letters_per_mailbox_max,
        ),
    )
    try:
        yield accounts
    finally:
        await accounts.drain()
        passwords.close()
        await webhooks.close()


def watch_people(accounts: Accounts) -> "asyncio.Task[None]":
    """Starts what a server does for organizations beside calls: raising their alerts, and delivering them."""
    return start_duty("alerts", lambda: watch_alerts(accounts))


@contextlib.asynccontextmanager
async def open_identity_providers(
    settings: Settings, secret: Callable[[str | None, str], str | None]
) -> AsyncIterator[dict[str, IdentityProvider]]:
    """The identity providers where people can sign in, by name: for a server, commands sign nobody in. `secret` reads
    the setting whose place it is given. Raises SettingsError."""
    if not settings.oidc:
        # A server without them is spared what checks signatures, which takes some megabytes.
        yield {}
        return
    from tessera.adapters.people.oidc import OidcProvider

    async with contextlib.AsyncExitStack() as stack:
        providers: dict[str, IdentityProvider] = {}
        for index, row in enumerate(settings.oidc):
            client_secret = secret(row.client_secret, f"oidc[{index}].client_secret")
            provider = OidcProvider(row.name, row.issuer, row.client_id, client_secret, _now)
            stack.push_async_callback(provider.close)
            providers[row.name] = provider
        yield providers


def _now() -> int:
    return int(time.time())


def _mail(settings: Settings, password: str | None) -> Mail:
    smtp = settings.smtp
    if smtp.host is None:
        return LoggedMail()
    return SmtpMail(
        SmtpServer(
            host=smtp.host,
            port=smtp.port,
            security=smtp.security,
            sender=smtp.sender or "",
            username=smtp.username,
            password=password,
        )
    )
