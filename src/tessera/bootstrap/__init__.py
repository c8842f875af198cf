"""The composition root: the only package that names concrete adapters. It reads no environment but what it is given."""

import contextlib
import os
import secrets
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import date, timedelta
from typing import TYPE_CHECKING

import msgspec

from tessera.adapters.storage.ledger.storage import LedgerStorage
from tessera.adapters.storage.sqlite import SqliteStorage
from tessera.bootstrap.providers import (
    FIRST_ENCODING,
    deployments_of,
    key_notices,
    open_providers,
    open_sight,
    open_stored,
    read_secret,
    unserved,
    vault_of,
)
from tessera.domain.auth import key_digest, make_key
from tessera.domain.ids import make_id
from tessera.domain.key_rules import KeyRules
from tessera.domain.ledger.losses import LossLimits
from tessera.domain.money import Mode, parse_usd
from tessera.ports.administration import ApiKey
from tessera.settings import Settings, notices

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from tessera.adapters.media import MediaLimits
    from tessera.flows.money.treasury import Treasury
    from tessera.flows.operator.credentials import Vault
    from tessera.flows.operator.customers import Clientele
    from tessera.flows.operator.prices import PriceList
    from tessera.flows.people.accounts import Accounts
    from tessera.flows.world import CallLimits, World
    from tessera.http.door import Door

_DISPLAY_START, _DISPLAY_END = 16, 4
"""How much of a key can be shown again: prefix, mode and four characters, and its last four."""


class Opened(msgspec.Struct, frozen=True):
    """A data folder that is open: the system of record and the secret that keys are digested with."""

    storage: LedgerStorage
    pepper: bytes

    def digest(self, key: str) -> bytes:
        """What the database knows a key by."""
        return key_digest(key, self.pepper)


class Served(msgspec.Struct, frozen=True):
    """The HTTP application, what refuses requests before it, what the operator should hear at start, what to call when
    the server begins to end, and when the time for calls in flight is over, before they are cancelled."""

    app: "ASGIApp"
    door: "Door"
    accounts: "Accounts"
    notices: tuple[str, ...]
    leave: Callable[[], None]
    give_up: Callable[[], None]


_EPOCH = date(1970, 1, 1)
_DAY_NS = 86_400_000_000_000


class SystemClock:
    """The machine's clocks."""

    def __init__(self) -> None:
        self._day = -1
        self._today = date.min

    def now_us(self) -> int:
        """Microseconds since 1970."""
        return time.time_ns() // 1_000

    def today(self) -> date:
        """Today in UTC; a date is made once a day."""
        day = time.time_ns() // _DAY_NS
        if day != self._day:
            self._day, self._today = day, _EPOCH + timedelta(days=day)
        return self._today

    def monotonic_ms(self) -> int:
        """Milliseconds that never jump."""
        return time.monotonic_ns() // 1_000_000


# ---- accounts ----------------------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def open_storage(settings: Settings) -> AsyncIterator[Opened]:
    """The system of record, made if it is missing, beside whatever else has it open: the PostgreSQL that `database`
    names, or else the data folder's own. Raises [storage_unavailable]."""
    storage = await _open_storage(settings)
    try:
        yield Opened(storage, storage.secrets.pepper)
    finally:
        await storage.close()


async def _open_storage(settings: Settings) -> LedgerStorage:
    if settings.database is None:
        return await SqliteStorage.open(settings.data_dir, limits=_loss_limits(settings))
    from tessera.adapters.storage.postgres import PostgresStorage

    return await PostgresStorage.connect(
        settings.database, settings.data_dir, secrets_dir=settings.secrets_dir, limits=_loss_limits(settings)
    )


async def issue_key(
    opened: Opened, organization_id: str, *, project: str, mode: Mode, name: str, rules: KeyRules | None = None
) -> tuple[str, ApiKey]:
    """A new API key, and how it is stored; `rules` are as `made_rules` makes them. The key itself exists only in what
    is returned."""
    key = make_key(mode, secrets.token_bytes(32))
    display = f"{key[:_DISPLAY_START]}…{key[-_DISPLAY_END:]}"
    stored = await opened.storage.create_key(
        organization_id, project=project, mode=mode, name=name, digest=opened.digest(key), display=display, rules=rules
    )
    return key, stored


# ---- the server --------------------------------------------------------------------------------------------------


def load_server(settings: Settings) -> None:
    """Loads all the code of a server, and the vocabulary it reads before it answers. Not needed: what is forked
    afterwards shares the memory and the time."""
    if settings.database is not None:
        import tessera.adapters.storage.postgres
    import tessera.adapters.media
    import tessera.adapters.providers.openai
    import tessera.adapters.providers.sandbox
    import tessera.bootstrap.money
    import tessera.bootstrap.people
    import tessera.http.app  # noqa: F401
    from tessera.adapters import tokenizers

    tokenizers.load(FIRST_ENCODING)


@contextlib.asynccontextmanager
async def open_app(settings: Settings, opened: Opened, environment: Mapping[str, str]) -> AsyncIterator[Served]:
    """The HTTP application on an open data folder, ready to count. Raises SettingsError."""
    from tessera.adapters import tokenizers

    # Before anything else: what reading it takes for a moment is then memory that the rest can use.
    tokenizers.load(FIRST_ENCODING)
    from tessera.bootstrap.money import watch
    from tessera.bootstrap.people import open_identity_providers, watch_people
    from tessera.http.app import build_app
    from tessera.http.door import Door
    from tessera.http.load import Load, watched

    token = read_secret(settings.metrics_token, environment, "metrics_token")
    load = Load(settings.limits.calls_max, settings.limits.bodies_bytes_max)
    async with contextlib.AsyncExitStack() as stack:
        world = await stack.enter_async_context(open_world(settings, opened, environment))
        await stack.enter_async_context(watched(load, settings.limits.memory_bytes_max))
        accounts = await stack.enter_async_context(open_people(settings, opened, environment))
        providers = open_identity_providers(settings, lambda one, place: read_secret(one, environment, place))
        accounts.identity_providers = await stack.enter_async_context(providers)
        treasury = await stack.enter_async_context(open_money(settings, opened, environment, lambda: accounts.base_url))
        stack.callback(watch(settings, treasury).cancel)
        stack.callback(watch_people(accounts).cancel)
        app = build_app(
            world, load, accounts=accounts, treasury=treasury, cors_origins=settings.cors_origins, metrics_token=token
        )

        def give_up() -> None:
            world.stopping = True

        door = Door(load, new_id, settings.cors_origins)
        told = (*notices(settings), *key_notices(environment), *unserved(settings, world.providers))
        yield Served(app, door, accounts, told, world.live.close, give_up)


def open_people(
    settings: Settings, opened: Opened, environment: Mapping[str, str]
) -> contextlib.AbstractAsyncContextManager["Accounts"]:
    """What the flows of people work with, on an open data folder. Raises SettingsError."""
    from tessera.adapters.storage.ledger.people import people_of
    from tessera.bootstrap.people import open_accounts

    password = read_secret(settings.smtp.password, environment, "smtp.password")
    vault, prices = open_vault(settings, opened, environment), price_list(settings, opened)
    people, clientele = people_of(opened.storage), clientele_of(settings, opened)
    return open_accounts(settings, people, opened.storage, prices, opened.digest, new_id, password, vault, clientele)


def clientele_of(settings: Settings, opened: Opened) -> "Clientele":
    """What the flows of customers work with, on an open data folder."""
    from tessera.adapters.storage.ledger.people import customers_of
    from tessera.flows.operator.customers import Clientele
    from tessera.ports.customers import CreditPolicy

    customers = customers_of(opened.storage)
    policy = CreditPolicy(alone_max_nanos=parse_usd(settings.limits.credit_alone_max))
    return Clientele(customers=customers, policy=policy)


def open_vault(settings: Settings, opened: Opened, environment: Mapping[str, str]) -> "Vault":
    """What the flows of providers' credentials work with, on an open data folder."""
    from tessera.adapters.storage.ledger.people import credentials_of

    return vault_of(settings, environment, credentials_of(opened.storage))


def price_list(settings: Settings, opened: Opened | None) -> "PriceList":
    """The operator's price book, to be looked at; with a ledger, organizations have both their names. Raises
    SettingsError."""
    from tessera.flows.operator.prices import PriceList
    from tessera.settings.rows import all_providers_of, catalogue_of, price_book_of

    catalogue = catalogue_of(settings)
    return PriceList(
        catalogue=catalogue,
        book=price_book_of(settings, catalogue),
        providers=all_providers_of(settings, catalogue),
        find_organization=opened.storage.find_organization if opened else None,
    )


def open_money(
    settings: Settings, opened: Opened, environment: Mapping[str, str], base_url: Callable[[], str]
) -> contextlib.AbstractAsyncContextManager["Treasury"]:
    """What the flows of money in and out work with, on an open data folder. Raises SettingsError."""
    from tessera.adapters.storage.money.store import SqlMoney
    from tessera.bootstrap.money import open_treasury

    def secret(reference: str | None, place: str) -> str | None:
        return read_secret(reference, environment, place)

    return open_treasury(settings, SqlMoney(opened.storage), opened.digest, new_id, secret, base_url)


@contextlib.asynccontextmanager
async def open_world(settings: Settings, opened: Opened, environment: Mapping[str, str]) -> AsyncIterator["World"]:
    """Everything flows reach, closed in order: work in flight, connections, then (by the caller) the database."""
    from tessera.adapters.media import GuardedFetch, MediaProber
    from tessera.adapters.storage.ledger.people import credentials_of
    from tessera.adapters.tokenizers import counter_for, is_loaded
    from tessera.catalog.on_cancel import OnCancelRules, packaged_on_cancel
    from tessera.flows.cutting import watch_cuts
    from tessera.flows.duties import start_duty
    from tessera.flows.world import World
    from tessera.settings.rows import catalogue_of, price_book_of

    catalogue = catalogue_of(settings)
    prices = price_book_of(settings, catalogue)
    deployments = deployments_of(settings, catalogue, environment)
    async with contextlib.AsyncExitStack() as stack:
        providers = open_providers(settings, environment)
        for provider in providers.values():
            stack.push_async_callback(provider.close)
        limits = _media_limits(settings)
        fetch = GuardedFetch(
            limits, allow_private_networks=settings.media.allow_private_networks, ports=settings.media.ports
        )
        stack.push_async_callback(fetch.close)
        world = World(
            storage=opened.storage,
            media=MediaProber(fetch, limits),
            providers=providers,
            catalogue=catalogue,
            prices=prices,
            deployments=deployments,
            counter_for=counter_for,
            counts_at_once=is_loaded,
            digest=opened.digest,
            make_id=new_id,
            clock=SystemClock(),
            owner=opened.storage.owner,
            limits=_call_limits(settings),
            on_cancel=OnCancelRules(
                packaged_on_cancel(), {row.name: row.on_cancel for row in settings.provider if row.on_cancel}
            ).find,
        )
        stored = open_stored(settings, catalogue, environment, world, credentials_of(opened.storage))
        stack.push_async_callback(stored.close)
        await stored.look()
        stack.push_async_callback(world.drain)
        stack.callback(start_duty("cuts", lambda: watch_cuts(world)).cancel)
        stack.callback(start_duty("credentials", stored.follow).cancel)
        yield world


class RandomBytes:
    """Ten random bytes at a time out of a larger helping: asking the system each time lets other threads in, which
    costs a call more than the bytes do."""

    def __init__(self) -> None:
        self._left: list[bytes] = []

    def take(self) -> bytes:
        """Ten bytes nobody has had before."""
        try:
            return self._left.pop()
        except IndexError:
            helping = os.urandom(10_240)
            self._left = [helping[at : at + 10] for at in range(10, len(helping), 10)]
            return helping[:10]

    def forget(self) -> None:
        """Drops what is left: a forked process must not give out the same bytes again."""
        self._left.clear()


_random = RandomBytes()
os.register_at_fork(after_in_child=_random.forget)


def new_id(prefix: str) -> str:
    """A new identifier that sorts by now."""
    return make_id(prefix, time.time_ns() // 1_000_000, _random.take())


def _call_limits(settings: Settings) -> "CallLimits":
    from tessera.flows.world import CallLimits

    limits = settings.limits
    return CallLimits(
        body_bytes_max=limits.body_bytes_max,
        body_seconds_max=limits.body_seconds_max,
        reply_bytes_max=limits.reply_bytes_max,
        call_seconds_max=limits.call_seconds_max,
        attempts_max=limits.attempts_max,
        ejection_seconds=limits.ejection_seconds,
        quote_seconds=limits.quote_seconds,
        read_on_calls_max=limits.read_on_calls_max,
        read_on_seconds_max=limits.read_on_seconds_max,
        read_on_bytes_max=limits.read_on_bytes_max,
        forward_images=settings.media.forward,
    )


def _loss_limits(settings: Settings) -> LossLimits:
    limits = settings.limits
    return LossLimits(
        loss_max_nanos=parse_usd(limits.loss_max),
        left_calls_max=limits.left_calls_max,
        left_loss_max_nanos=parse_usd(limits.left_loss_max),
    )


def _media_limits(settings: Settings) -> "MediaLimits":
    from tessera.adapters.media import MediaLimits

    limits = settings.limits
    return MediaLimits(
        images_max=limits.images_max,
        image_bytes_max=limits.image_bytes_max,
        pixels_max=limits.image_pixels_max,
        redirects_max=limits.redirects_max,
        fetch_s=limits.fetch_seconds_max,
    )


# ---- without a server --------------------------------------------------------------------------------------------


async def describe_locally(settings: Settings, contents: Sequence[bytes], prompt: str) -> str:
    """What `sight` says about images, here and now, with no server and no money. Raises the media codes."""
    sight = open_sight(settings)
    try:
        return await sight.describe(contents, prompt)
    finally:
        await sight.close()


def turn_upright(content: bytes) -> bytes:
    """The image turned as its EXIF orientation says. Raises the media codes of `TesseraError`."""
    from tessera.adapters.media.upright import upright

    return upright(content)
