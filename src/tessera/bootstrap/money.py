"""The part of the composition root that is about money in and out: its store, Stripe where it is set up, documents."""

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Callable

from tessera.adapters.storage.money.store import SqlMoney
from tessera.domain.money import Mode, parse_usd
from tessera.domain.payments.documents import Document
from tessera.flows.duties import start_duty
from tessera.flows.money.comparison import watch_money
from tessera.flows.money.treasury import TopUpLimits, Treasury
from tessera.ports.money import Payments
from tessera.settings import Settings, SettingsError

ReadSecret = Callable[[str | None, str], str | None]
"""The secret that `env:NAME` or `file:PATH` refers to, and the setting it stands in."""


@contextlib.asynccontextmanager
async def open_treasury(
    settings: Settings,
    store: SqlMoney,
    digest: Callable[[str], bytes],
    make_id: Callable[[str], str],
    read_secret: ReadSecret,
    base_url: Callable[[], str],
) -> AsyncIterator[Treasury]:
    """What the flows of money in and out work with. Raises SettingsError."""
    chosen = settings.payments
    async with contextlib.AsyncExitStack() as stack:
        payments: dict[Mode, Payments] = {}
        for mode, name, reference in (
            (Mode.LIVE, "stripe_key", chosen.stripe_key),
            (Mode.TEST, "stripe_test_key", chosen.stripe_test_key),
        ):
            key = read_secret(reference, f"payments.{name}")
            if key is not None:
                payments[mode] = _stripe(mode, key, name, chosen.stripe_base_url)
                stack.push_async_callback(payments[mode].close)
        yield Treasury(
            store=store,
            payments=payments,
            webhook_secrets=tuple(_webhook_secrets(settings, read_secret)),
            digest=digest,
            random=os.urandom,
            make_id=make_id,
            now=lambda: int(time.time()),
            base_url=base_url,
            print_pdf=_print_pdf,
            limits=TopUpLimits(least_nanos=parse_usd(chosen.topup_min), most_nanos=parse_usd(chosen.topup_max)),
            automatic_tax=chosen.automatic_tax,
        )


def watch(settings: Settings, treasury: Treasury) -> "asyncio.Task[None]":
    """The task that tops up what is low and compares with payment services, until it is cancelled."""
    chosen = settings.payments
    return start_duty(
        "money",
        lambda: watch_money(treasury, automatic_s=chosen.automatic_seconds, comparison_s=chosen.comparison_seconds),
    )


def _stripe(mode: Mode, key: str, name: str, base_url: str | None) -> Payments:
    # Imported here: a server that takes no payments has no memory for Stripe's library, which is 33 MB.
    from tessera.adapters.payments.stripe.client import StripePayments

    try:
        return StripePayments(mode, key, base_url)
    except ValueError as error:
        raise SettingsError(f"payments.{name}: {error}.") from None


def _webhook_secrets(settings: Settings, read_secret: ReadSecret) -> list[tuple[Mode, str]]:
    found = []
    for mode, name in ((Mode.LIVE, "stripe_webhook_secrets"), (Mode.TEST, "stripe_test_webhook_secrets")):
        for reference in getattr(settings.payments, name):
            secret = read_secret(reference, f"payments.{name}")
            if secret is not None:
                found.append((mode, secret))
    if len({secret for _, secret in found}) != len(found):
        raise SettingsError("payments: the same webhook secret stands there twice; each mode has its own.")
    return found


def _print_pdf(document: Document) -> bytes:
    from tessera.adapters.documents.pdf import print_pdf

    return print_pdf(document)
