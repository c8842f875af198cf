"""What no type says about settings, and what an operator should hear at start."""

import ipaddress
import re
from urllib.parse import urlsplit

import msgspec

from tessera.domain.money import parse_usd
from tessera.domain.request import Surface
from tessera.ports.credentials import PROVIDER_NAME, PROVIDERS_INSIDE
from tessera.settings.shapes import LimitSettings, PaymentSettings, Settings, SettingsError, split_listen

_ZERO_ALLOWED = ("redirects_max", "ejection_seconds", "memory_bytes_max", "left_calls_max", "read_on_calls_max")
WEBHOOK_SECRETS_MAX = 2
PASSWORD_MEMORY_KIB_MIN = 8192
LIMIT_MAX = 2**42
"""The largest limit: as seconds from now on, in microseconds, it still fits into 63 bits."""
_BASE_URL = r"https?://[^\s@?#]+"
_ORIGIN = r"\*|[a-z][a-z0-9+.-]*://[^\sA-Z/?#]+"
_LOOPBACK = r"http://(127\.0\.0\.1|localhost|\[::1\])(:[0-9]+)?"
_ISSUER = re.compile(rf"(https://[A-Za-z0-9.-]+(:[0-9]+)?|{_LOOPBACK})(/[^\s?#@\\]*)?")


def notices(settings: Settings) -> tuple[str, ...]:
    """What an operator should hear at start about a server that others reach."""
    if settings.public_url is None:
        return ()
    found = []
    if settings.smtp.host is None:
        found.append(
            "no mail server is set (smtp.host): links for sign-up, invitations and new passwords go to the log."
        )
    if not settings.public_url.startswith("https://"):
        found.append("public_url is not https: passwords and sessions can be read on the way.")
    return tuple(found)


def check(settings: Settings) -> None:
    """What no type says. Raises SettingsError naming the setting."""
    split_listen(settings.listen)
    check_database(settings.database)
    if settings.secrets_dir is not None and settings.database is None:
        raise SettingsError(
            "secrets_dir: it says where replicas on one PostgreSQL find the secrets they share; the embedded database "
            "keeps them in `data_dir`."
        )
    _check_addresses(settings)
    _check_limits(settings.limits)
    for table, ports in (("media", settings.media.ports), ("webhooks", settings.webhooks.ports)):
        if not all(1 <= port <= 65_535 for port in ports):
            raise SettingsError(f"{table}.ports: a port is a number from 1 to 65535.")
    _check_secret("metrics_token", settings.metrics_token)
    _check_people(settings)
    _check_identity_providers(settings)
    _check_payments(settings.payments)
    _check_providers(settings)


def _check_addresses(settings: Settings) -> None:
    for address in settings.trusted_proxies:
        try:
            ipaddress.ip_network(address)
        except ValueError:
            raise SettingsError(
                f"trusted_proxies: {address!r} is not an address or network such as 10.0.0.0/8"
            ) from None
    for origin in settings.cors_origins:
        if not re.fullmatch(_ORIGIN, origin):
            raise SettingsError(
                f"cors_origins: no browser sends {origin!r} as an origin; write it as in https://app.example.com, in "
                "small letters and without a path or a slash at the end."
            )


def _check_limits(limits: LimitSettings) -> None:
    for name, value in msgspec.structs.asdict(limits).items():
        if isinstance(value, str):
            _check_amount(f"limits.{name}", value)
        elif value < (0 if name in _ZERO_ALLOWED else 1):
            raise SettingsError(f"limits.{name}: {value} is not a limit; write a whole number above zero.")
        elif value > LIMIT_MAX:
            raise SettingsError(f"limits.{name}: a limit is at most {LIMIT_MAX}.")
    if limits.password_memory_kib < PASSWORD_MEMORY_KIB_MIN:
        raise SettingsError(
            f"limits.password_memory_kib: hashing a password takes at least {PASSWORD_MEMORY_KIB_MIN} KiB."
        )


def check_database(database: str | None) -> None:
    """Whether it is the address of a PostgreSQL; None is the embedded database. Raises SettingsError, which never shows
    the address: it may hold a password."""
    if database is None:
        return
    if database.startswith("sqlite:"):
        raise SettingsError("database: the embedded database lives in `data_dir`; leave `database` unset.")
    if not re.fullmatch(r"postgres(ql)?://\S+", database):
        raise SettingsError(
            "database: write the address of a PostgreSQL database, as in postgresql://tessera@db.internal/tessera, or "
            "leave `database` (and TESSERA_DATABASE_URL) unset for the embedded one in `data_dir`."
        )


def _check_people(settings: Settings) -> None:
    url, smtp = settings.public_url, settings.smtp
    if url is not None and not re.fullmatch(r"https?://[A-Za-z0-9._:\[\]-]+/?", url):
        raise SettingsError("public_url: write an address such as https://api.example.com, without a path.")
    _check_secret("smtp.password", smtp.password)
    if not 1 <= smtp.port <= 65_535:
        raise SettingsError(f"smtp.port: {smtp.port} is not a port.")
    if smtp.host is not None and (smtp.sender is None or "@" not in smtp.sender):
        raise SettingsError("smtp.sender: write the address that letters come from, such as tessera@example.com.")
    if smtp.username is not None and (smtp.password is None or smtp.security == "none"):
        raise SettingsError("smtp.username: it needs a password, and security other than none to send it by.")


def _check_identity_providers(settings: Settings) -> None:
    names, issuers = set(), set()
    for index, provider in enumerate(settings.oidc):
        place = f"oidc[{index}]"
        if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,31}", provider.name) or provider.name in names:
            raise SettingsError(
                f"{place}.name: {provider.name!r} is taken, or is not of a-z, 0-9 and -: it stands in addresses."
            )
        if not _ISSUER.fullmatch(provider.issuer) or provider.issuer in issuers:
            raise SettingsError(
                f"{place}.issuer: write an address such as https://id.example.com, once, as the provider's discovery "
                "document has it; only on this machine it may be http."
            )
        if not provider.client_id.isprintable() or not provider.client_id:
            raise SettingsError(f"{place}.client_id: write what the provider knows this server by.")
        _check_secret(f"{place}.client_secret", provider.client_secret)
        names.add(provider.name)
        issuers.add(provider.issuer)


def _check_payments(payments: PaymentSettings) -> None:
    _check_secret("payments.stripe_key", payments.stripe_key)
    _check_secret("payments.stripe_test_key", payments.stripe_test_key)
    for name in ("stripe_webhook_secrets", "stripe_test_webhook_secrets"):
        secrets = getattr(payments, name)
        for secret in secrets:
            _check_secret(f"payments.{name}", secret)
        if len(secrets) > WEBHOOK_SECRETS_MAX:
            raise SettingsError(f"payments.{name}: at most two, the old one and the new one while it is rotated.")
    if payments.stripe_base_url is not None and not re.fullmatch(r"https?://[^\s@?#]+", payments.stripe_base_url):
        raise SettingsError("payments.stripe_base_url: write an address such as https://api.stripe.com.")
    _check_amount("payments.topup_min", payments.topup_min)
    _check_amount("payments.topup_max", payments.topup_max)
    if not 0 < parse_usd(payments.topup_min) <= parse_usd(payments.topup_max):
        raise SettingsError("payments.topup_min: it must be above zero and at most topup_max.")
    for name in ("automatic_seconds", "comparison_seconds"):
        if getattr(payments, name) < 1:
            raise SettingsError(f"payments.{name}: write a whole number of seconds above zero.")


def _check_providers(settings: Settings) -> None:
    names: set[str] = set()
    for index, provider in enumerate(settings.provider):
        place = f"provider[{index}]"
        if provider.name in PROVIDERS_INSIDE or provider.name in names:
            raise SettingsError(f"{place}.name: {provider.name!r} is taken; choose another name.")
        names.add(provider.name)
        if provider.dialect != "openai":
            raise SettingsError(f"{place}.dialect: {provider.dialect!r} is not available in this version; `openai` is.")
        for surface in provider.surfaces:
            if surface not in (Surface.CHAT, Surface.RESPONSES):
                raise SettingsError(
                    f"{place}.surfaces: `{surface}` is not available in this version; `chat` and `responses` are."
                )
        if not _is_base_url(provider.base_url):
            raise SettingsError(
                f"{place}.base_url: write an address such as http://127.0.0.1:9000/v1, without credentials."
            )
        _check_secret(f"{place}.credential", provider.credential)
    _check_deployments(settings, names)
    for url in settings.trusted_base_urls:
        if not _is_base_url(url):
            raise SettingsError(f"trusted_base_urls: {url!r} is not an address such as http://10.0.0.5:8000/v1.")


def _is_base_url(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return bool(re.fullmatch(_BASE_URL, url) and parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _check_deployments(settings: Settings, names: set[str]) -> None:
    """A provider that is not in the file may be one whose credential is stored: only the database knows."""
    for index, deployment in enumerate(settings.deployment):
        name = deployment.provider
        if name not in names and (name in PROVIDERS_INSIDE or not re.fullmatch(PROVIDER_NAME, name, re.ASCII)):
            known = ", ".join(sorted(names)) or "none is configured"
            raise SettingsError(
                f"deployment[{index}].provider: there is no provider {name!r} here ({known}), and no credential can be "
                "stored under that name; add a [[provider]] with it."
            )


def _check_amount(place: str, amount: str) -> None:
    try:
        parse_usd(amount)
    except ValueError:
        raise SettingsError(f'{place}: {amount!r} is not an amount; write US dollars as text, as in "20.00".') from None


def _check_secret(place: str, reference: str | None) -> None:
    if reference is not None and not re.fullmatch(r"(env|file):.+", reference):
        raise SettingsError(f"{place}: write env:NAME or file:PATH; a credential itself never stands here.")
