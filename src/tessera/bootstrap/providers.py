"""Which providers there are and what they can serve, out of the settings; the part of the composition root that names
their adapters."""

import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tessera.domain.request import Surface
from tessera.ports import Deployment, Provider
from tessera.settings import ProviderSetting, Settings, SettingsError

if TYPE_CHECKING:
    from tessera.adapters.media.base_urls import GuardedBaseUrls
    from tessera.adapters.providers.openai import TransportLimits
    from tessera.adapters.providers.sight.provider import SightProvider
    from tessera.catalog.catalogue import Catalogue
    from tessera.catalog.models import Model
    from tessera.flows.operator.credentials import Vault
    from tessera.flows.stored_providers import StoredProviders
    from tessera.flows.world import World
    from tessera.ports.credentials import Credentials, StoredCredential
    from tessera.ports.usage import ProviderBooks

OPENAI_BASE_URL = "https://api.openai.com/v1"
INSIDE_ENCODING = "o200k_base"
"""The encoding in which the providers inside this process count what they say."""
FIRST_ENCODING = INSIDE_ENCODING
"""The encoding a server reads before it answers: that of all models but the oldest, whose own is read in a thread when
one of them is first called, because it would take 25 MB from every server."""
OPENAI, SIGHT, SANDBOX = "openai", "sight", "sandbox"
DEFAULT_SURFACES = (Surface.CHAT, Surface.RESPONSES)
_NONE_STORED: Mapping[str, tuple[Surface, ...]] = {}
_AHEAD_BYTES_MAX = 1024 * 1024
"""More than the transport can have of a reply that the flows have not taken yet."""
_LATER_S = 60
"""How long after the flows' own bound the transport gives a call up: they see it at the next piece."""
KEYS_OF_LATER_DIALECTS = {"ANTHROPIC_API_KEY": "Anthropic", "GEMINI_API_KEY": "Gemini"}


def deployments_of(
    settings: Settings,
    catalogue: "Catalogue",
    environment: Mapping[str, str],
    stored: Mapping[str, tuple[Surface, ...]] = _NONE_STORED,
) -> dict[str, tuple[Deployment, ...]]:
    """What can serve live calls, by canonical model: configured rows in their order, then OpenAI, then `sight`.

    `stored` are the surfaces of the providers whose credentials are stored, by name. At its own provider a model is
    called on the surfaces that provider serves it on. A row whose provider is nowhere serves nothing. Raises
    SettingsError.
    """
    from tessera.domain.errors import TesseraError

    found: dict[str, list[Deployment]] = {}
    configured = {row.name: row.surfaces or DEFAULT_SURFACES for row in _provider_settings(settings, environment)}
    named = {**stored, **configured}
    for index, row in enumerate(settings.deployment):
        try:
            model = catalogue.model(row.model)
        except TesseraError as error:
            raise SettingsError(f"deployment[{index}].model: {error.message}") from None
        if row.provider in named:
            surfaces = named[row.provider]
            if row.provider == model.provider:
                # A row whose provider speaks nothing of the model's is the operator's word that it serves it all the
                # same: another gateway under the provider's name may translate.
                surfaces = _spoken(model, surfaces) or surfaces
            way = _deployment(row.provider, model.canonical, row.upstream_model or row.model, surfaces)
            found.setdefault(model.canonical, []).append(way)
    for model in catalogue.models():
        if model.id != model.canonical or model.provider not in (OPENAI, SIGHT):
            continue
        surfaces = model.surfaces if model.provider == SIGHT else _spoken(model, named.get(OPENAI, ()))
        way = _deployment(model.provider, model.id, model.id, surfaces)
        if surfaces and way.name not in (other.name for other in found.get(model.id, ())):
            found.setdefault(model.id, []).append(way)
    return {model: tuple(ways) for model, ways in found.items()}


def _spoken(model: "Model", surfaces: Sequence[Surface]) -> tuple[Surface, ...]:
    """The surfaces a model's own provider serves it on, of those that are spoken there."""
    return tuple(surface for surface in model.surfaces if surface in surfaces)


def _deployment(provider: str, model: str, upstream: str, surfaces: Sequence[Surface]) -> Deployment:
    return Deployment(
        name=f"{provider}/{upstream}",
        provider=provider,
        model=model,
        upstream_model=upstream,
        surfaces=tuple(surfaces),
        explicit_tier=provider == OPENAI,
    )


def _provider_settings(settings: Settings, environment: Mapping[str, str]) -> tuple[ProviderSetting, ...]:
    """The configured providers; with a key in the environment, OpenAI itself unless one is configured by its name."""
    configured = settings.provider
    if environment.get("OPENAI_API_KEY") and all(provider.name != OPENAI for provider in configured):
        own = ProviderSetting(name=OPENAI, base_url=OPENAI_BASE_URL, credential="env:OPENAI_API_KEY")
        return (*configured, own)
    return configured


def open_providers(settings: Settings, environment: Mapping[str, str]) -> dict[str, Provider]:
    """Every provider by name, those inside this process among them. Raises SettingsError."""
    from tessera.adapters.providers.openai import OpenAIProvider
    from tessera.adapters.providers.sandbox import SandboxProvider
    from tessera.adapters.tokenizers import counter_for

    limits = _transport_limits(settings)
    sight = open_sight(settings)
    sandbox = SandboxProvider(sight.describe, counter_for(INSIDE_ENCODING), recognize=sight.recognize)
    providers: dict[str, Provider] = {SIGHT: sight, SANDBOX: sandbox}
    for setting in _provider_settings(settings, environment):
        credential = read_secret(setting.credential, environment, f"provider {setting.name}")
        try:
            providers[setting.name] = OpenAIProvider(setting.base_url, credential, limits)
        except ValueError as error:
            raise SettingsError(f"provider {setting.name}: {error}") from None
    return providers


def _transport_limits(settings: Settings) -> "TransportLimits":
    from tessera.adapters.providers.openai import TransportLimits

    return TransportLimits(
        first_byte_s=settings.limits.first_byte_seconds_max,
        gap_s=settings.limits.gap_seconds_max,
        # Above the flows' own bounds, which know who pays for a reply that is too large or takes too long.
        total_s=settings.limits.call_seconds_max + _LATER_S,
        reply_bytes_max=settings.limits.reply_bytes_max + _AHEAD_BYTES_MAX,
    )


def _entered_addresses(settings: Settings) -> "GuardedBaseUrls":
    """OpenAI's own address is ours, not one that anybody entered."""
    from tessera.adapters.media.base_urls import GuardedBaseUrls

    return GuardedBaseUrls((OPENAI_BASE_URL, *settings.trusted_base_urls))


def vault_of(settings: Settings, environment: Mapping[str, str], credentials: "Credentials") -> "Vault":
    """What operators store credentials with, under what the settings say of providers."""
    from tessera.flows.operator.credentials import Configured, Vault

    in_file = {row.name for row in settings.provider}
    return Vault(
        credentials=credentials,
        addresses=_entered_addresses(settings),
        configured={
            row.name: Configured(base_url=row.base_url, source="file" if row.name in in_file else "environment")
            for row in _provider_settings(settings, environment)
        },
        known_addresses={OPENAI: OPENAI_BASE_URL},
    )


def open_stored(
    settings: Settings,
    catalogue: "Catalogue",
    environment: Mapping[str, str],
    world: "World",
    credentials: "Credentials",
) -> "StoredProviders":
    """The providers whose credentials are stored, put beside a world's own at its first look. Must be closed."""
    from tessera.adapters.providers.openai import OpenAIProvider
    from tessera.domain.errors import ErrorCode, TesseraError
    from tessera.flows.stored_providers import StoredProviders

    limits, addresses = _transport_limits(settings), _entered_addresses(settings)

    def open_one(credential: "StoredCredential", secret: str) -> OpenAIProvider:
        base_url = addresses.check(credential.base_url)
        try:
            return OpenAIProvider(base_url, secret, limits, allows=addresses.guard_of(base_url))
        except ValueError as error:
            raise TesseraError(ErrorCode.INVALID_REQUEST, str(error)) from None

    configured = frozenset(row.name for row in _provider_settings(settings, environment))
    return StoredProviders(
        world,
        credentials,
        open_one,
        lambda stored: deployments_of(settings, catalogue, environment, stored),
        configured,
    )


def open_books(
    settings: Settings, environment: Mapping[str, str], provider: str, admin_key: str | None
) -> "ProviderBooks":
    """A configured provider's own books; `admin_key` is env:NAME or file:PATH. Raises SettingsError."""
    from tessera.adapters.providers.openai.administration import OpenAIBooks

    named = {row.name: row.base_url for row in _provider_settings(settings, environment)}
    base_url = named.get(provider, OPENAI_BASE_URL if provider == OPENAI else None)
    if base_url is None:
        raise SettingsError(f"--provider: there is no [[provider]] named {provider!r}.")
    if admin_key is None or admin_key.partition(":")[0] not in ("env", "file"):
        raise SettingsError("--admin-key: write env:NAME or file:PATH, never the key itself.")
    return OpenAIBooks(base_url, read_secret(admin_key, environment, "--admin-key") or "")


def read_secret(reference: str | None, environment: Mapping[str, str], place: str) -> str | None:
    """The secret that `env:NAME` or `file:PATH` refers to. Raises SettingsError, which never shows it."""
    if reference is None:
        return None
    kind, _, name = reference.partition(":")
    if kind == "env":
        secret = environment.get(name, "")
    else:
        try:
            secret = Path(name).read_text("utf-8")
        except (OSError, UnicodeDecodeError):
            raise SettingsError(f"{place}: the file {name} cannot be read.") from None
    if not secret.strip():
        raise SettingsError(f"{place}: {reference} holds no credential.")
    return secret.strip()


def unserved(settings: Settings, providers: Collection[str]) -> tuple[str, ...]:
    """What to tell the operator of deployments at providers that are not among those there are."""
    return tuple(
        f"deployment[{index}] serves nothing yet: there is no [[provider]] {row.provider!r}, and no credential is "
        f"stored for it. Set one with `tessera providers set {row.provider}`."
        for index, row in enumerate(settings.deployment)
        if row.provider not in providers
    )


def key_notices(environment: Mapping[str, str]) -> tuple[str, ...]:
    """What to tell the operator of keys in the environment that do nothing yet."""
    return tuple(
        f"{name} is set, but {vendor} models cannot be called live in this version: its dialect is not there yet. Test "
        "keys work for them."
        for name, vendor in KEYS_OF_LATER_DIALECTS.items()
        if environment.get(name)
    )


def open_sight(settings: Settings) -> "SightProvider":
    """The engine that describes pictures, in worker processes of its own."""
    from tessera.adapters.providers.sight.engine import SightEngine
    from tessera.adapters.providers.sight.observation import SightLimits
    from tessera.adapters.providers.sight.provider import SightProvider
    from tessera.adapters.tokenizers import counter_for

    limits = SightLimits(bytes_max=settings.limits.image_bytes_max, pixels_max=settings.limits.image_pixels_max)
    workers = max(1, len(os.sched_getaffinity(0)) // 2)
    return SightProvider(SightEngine(workers=workers, limits=limits), counter_for(INSIDE_ENCODING))
