"""The tables of the configuration file, their defaults and their units."""

import re
from datetime import date
from pathlib import Path
from typing import Literal

import msgspec

from tessera.domain.request import Surface, Tier
from tessera.domain.usage import OnCancel


class SettingsError(Exception):
    """A setting that cannot be followed; the message names it and says what to do."""


class Shape(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the configuration file."""


class RateTable(Shape, frozen=True, kw_only=True):
    """US dollars per million tokens, as decimal strings."""

    input: str | None = None
    output: str | None = None
    cached_input: str | None = None
    cache_write: str | None = None
    input_image: str | None = None
    cached_input_image: str | None = None
    output_image: str | None = None


class AboveRates(RateTable, frozen=True, kw_only=True):
    """The rates of a whole request that has more than `tokens` input tokens."""

    tokens: int


class PriceSetting(RateTable, frozen=True, kw_only=True):
    """A `[[price]]` or `[[cost]]` row: rates, or a discount off the list, for whom and from when."""

    model: str | None = None
    provider: str | None = None
    organization: str | None = None
    tier: Tier = Tier.DEFAULT
    discount_percent: str | None = None
    above: AboveRates | None = None
    valid_from: date | None = None
    valid_until: date | None = None
    volume_from: str | None = None


class PricesSettings(Shape, frozen=True, kw_only=True):
    """`[prices]`: what holds for every model."""

    discount_percent: str = "0"


class ModelSetting(Shape, frozen=True, kw_only=True):
    """A `[[model]]` row: a model that is not in the catalogue."""

    id: str
    like: str | None = None
    image_tokens_max: int | None = None
    context_max: int | None = None
    output_max: int | None = None
    output_default: int | None = None


class MediaSettings(Shape, frozen=True, kw_only=True):
    """`[media]`: how images are fetched and sent on."""

    forward: Literal["inline", "url"] = "inline"
    allow_private_networks: bool = False
    ports: tuple[int, ...] = (80, 443)


class SmtpSettings(Shape, frozen=True, kw_only=True):
    """`[smtp]`: the mail server that letters are handed to; without a host they are written to the log."""

    host: str | None = None
    port: int = 587
    security: Literal["starttls", "tls", "none"] = "starttls"
    username: str | None = None
    password: str | None = None
    sender: str | None = None


class OidcSetting(Shape, frozen=True, kw_only=True):
    """An `[[oidc]]` row: an identity provider where people can sign in."""

    name: str
    issuer: str
    client_id: str
    client_secret: str | None = None


class PaymentSettings(Shape, frozen=True, kw_only=True):
    """`[payments]`: the Stripe account that takes money, for live and for test credit, and the bounds of a top-up."""

    stripe_key: str | None = None
    stripe_webhook_secrets: tuple[str, ...] = ()
    stripe_test_key: str | None = None
    stripe_test_webhook_secrets: tuple[str, ...] = ()
    stripe_base_url: str | None = None
    topup_min: str = "5.00"
    topup_max: str = "10000.00"
    automatic_seconds: int = 60
    comparison_seconds: int = 86_400
    automatic_tax: bool = False


class WebhookSettings(Shape, frozen=True, kw_only=True):
    """`[webhooks]`: where organizations may have their alerts sent."""

    allow_private_networks: bool = False
    ports: tuple[int, ...] = (80, 443)


class LimitSettings(Shape, frozen=True, kw_only=True):
    """`[limits]`: bounds on what one request, one image, one connection and one organization may make the server do."""

    body_bytes_max: int = 64 * 1024 * 1024
    reply_bytes_max: int = 64 * 1024 * 1024
    images_max: int = 100
    image_bytes_max: int = 50_000_000
    image_pixels_max: int = 50_000_000
    redirects_max: int = 5
    fetch_seconds_max: int = 10
    headers_seconds_max: int = 10
    body_seconds_max: int = 30
    write_seconds_max: int = 30
    first_byte_seconds_max: int = 900
    gap_seconds_max: int = 120
    call_seconds_max: int = 3600
    idle_seconds_max: int = 75
    drain_seconds_max: int = 30
    calls_max: int = 4096
    password_memory_kib: int = 65536
    bodies_bytes_max: int = 1024 * 1024 * 1024
    memory_bytes_max: int = 0
    attempts_max: int = 3
    ejection_seconds: int = 30
    quote_seconds: int = 900
    tries_per_account_max: int = 10
    tries_per_address_max: int = 100
    letters_per_mailbox_max: int = 5
    loss_max: str = "20.00"
    left_calls_max: int = 100
    left_loss_max: str = "1.00"
    credit_alone_max: str = "1000.00"
    read_on_calls_max: int = 64
    read_on_seconds_max: int = 120
    read_on_bytes_max: int = 8 * 1024 * 1024


class ProviderSetting(Shape, frozen=True, kw_only=True):
    """A `[[provider]]` row: a company or server, how to reach it and what it speaks."""

    name: str
    base_url: str
    dialect: Literal["openai", "anthropic", "gemini"] = "openai"
    surfaces: tuple[Surface, ...] = ()
    credential: str | None = None
    on_cancel: OnCancel | None = None


class DeploymentSetting(Shape, frozen=True, kw_only=True):
    """A `[[deployment]]` row: a provider that serves a model, under its own name for it if that differs."""

    model: str
    provider: str
    upstream_model: str | None = None


class Settings(Shape, frozen=True, kw_only=True):
    """Everything an operator can choose. `price`, `cost`, `model`, `provider`, `deployment` and `oidc` are the `[[…]]`
    rows."""

    database: str | None = None
    data_dir: Path = Path("tessera-data")
    secrets_dir: Path | None = None
    listen: str = "127.0.0.1:8080"
    public_url: str | None = None
    trusted_proxies: tuple[str, ...] = ()
    sign_up: Literal["open", "invite", "closed"] = "open"
    cors_origins: tuple[str, ...] = ()
    metrics_token: str | None = None
    trusted_base_urls: tuple[str, ...] = ()
    smtp: SmtpSettings = SmtpSettings()
    prices: PricesSettings = PricesSettings()
    payments: PaymentSettings = PaymentSettings()
    media: MediaSettings = MediaSettings()
    webhooks: WebhookSettings = WebhookSettings()
    limits: LimitSettings = LimitSettings()
    price: tuple[PriceSetting, ...] = ()
    cost: tuple[PriceSetting, ...] = ()
    model: tuple[ModelSetting, ...] = ()
    provider: tuple[ProviderSetting, ...] = ()
    deployment: tuple[DeploymentSetting, ...] = ()
    oidc: tuple[OidcSetting, ...] = ()

    @property
    def host(self) -> str:
        """The address to listen on."""
        return split_listen(self.listen)[0]

    @property
    def port(self) -> int:
        """The port to listen on; 0 takes a free one."""
        return split_listen(self.listen)[1]


def split_listen(listen: str) -> tuple[str, int]:
    """Host and port of `127.0.0.1:8080`, `[::1]:8080` or `localhost:8080`. Raises SettingsError."""
    host, colon, port = listen.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not host or not re.fullmatch("[0-9]{1,5}", port) or int(port) > 65_535:
        raise SettingsError(f"listen: {listen!r} is not an address and a port; write it as in 127.0.0.1:8080")
    return host, int(port)
