"""Credentials of providers: what an operator enters, sees and removes, by command and over HTTP.

Always holds: a credential goes in and never comes out; an address that is entered passes the guard of strangers'
addresses; what the settings say of a provider stands over what is entered for it.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.people.records import INSTANCE, Act, Actor
from tessera.domain.request import Surface
from tessera.flows.receipts import list_object
from tessera.ports import Page
from tessera.ports.credentials import (
    PROVIDER_NAME,
    PROVIDERS_INSIDE,
    Credentials,
    EnteredAddresses,
    NewCredential,
    StoredCredential,
    UnreadableError,
)

SURFACES = (Surface.CHAT, Surface.RESPONSES)

_SECRET = re.compile(r"[\x21-\x7e]{1,1024}", re.ASCII)


class Configured(msgspec.Struct, frozen=True, kw_only=True):
    """A provider of the settings; `source` is file or environment."""

    base_url: str
    source: str


class Vault(msgspec.Struct, frozen=True):
    """What the flows of credentials work with: the stored ones, which addresses may be entered, the providers of the
    settings, and the addresses that providers have when none is entered."""

    credentials: Credentials
    addresses: EnteredAddresses
    configured: Mapping[str, Configured]
    known_addresses: Mapping[str, str]


async def list_providers(vault: Vault) -> dict[str, Any]:
    """Every provider outside this process, by name: those of the settings, and the stored ones, never their secrets."""
    stored = await vault.credentials.list_credentials()
    rows = [_configured_object(name, one) for name, one in vault.configured.items()]
    rows += [await _stored_object(vault, credential) for credential in stored]
    rows.sort(key=lambda row: (row["id"], row["source"]))
    return list_object(rows, Page(limit=max(1, len(rows))))


async def set_credential(
    vault: Vault, actor: Actor, provider: str, secret: str, base_url: str | None, surfaces: Sequence[str] | None
) -> dict[str, Any]:
    """Stores a credential in place of the one until now, and switches the provider on. What is not given of address
    and surfaces stays as it was. Raises [invalid_request]."""
    _check_name(vault, provider)
    credential = secret.strip()
    if _SECRET.fullmatch(credential) is None:
        raise _refused("A credential is 1 to 1024 printable ASCII characters without white space.", "credential")
    before = {one.provider: one for one in await vault.credentials.list_credentials()}.get(provider)
    address = base_url
    if address is None:
        address = before.base_url if before else vault.known_addresses.get(provider)
    if address is None:
        raise _refused(f"Say where {provider} is: base_url is needed with its first credential.", "base_url")
    new = NewCredential(
        provider=provider,
        base_url=vault.addresses.check(address),
        surfaces=_spoken(surfaces, before.surfaces if before else SURFACES),
        secret=credential,
    )
    details = {"base_url": new.base_url, "surfaces": " ".join(new.surfaces)}
    act = Act(actor=actor, action="credential.set", object_id=provider, details=details, scope=INSTANCE)
    return await _stored_object(vault, await vault.credentials.set_credential(act, new))


async def remove_credential(vault: Vault, actor: Actor, provider: str) -> dict[str, Any]:
    """Removes a stored credential for good. Raises [not_found]."""
    act = Act(actor=actor, action="credential.removed", object_id=provider[:64], scope=INSTANCE)
    if not await vault.credentials.remove_credential(act):
        raise TesseraError(ErrorCode.NOT_FOUND, f"No credential is stored for a provider {provider[:64]!r}.")
    return {"object": "provider.deleted", "id": provider, "deleted": True}


def _check_name(vault: Vault, provider: str) -> None:
    if re.fullmatch(PROVIDER_NAME, provider, re.ASCII) is None or provider in PROVIDERS_INSIDE:
        raise _refused(
            f"A provider's name is 1 to 64 small letters, digits, dots, hyphens and underscores, and none of "
            f"{' and '.join(PROVIDERS_INSIDE)}.",
            "provider",
        )
    configured = vault.configured.get(provider)
    if configured is not None:
        where = "OPENAI_API_KEY in the environment" if configured.source == "environment" else "a [[provider]] row"
        raise _refused(
            f"The provider {provider} is configured by {where}, which stands over what is entered. Remove that first, "
            "or change the credential there.",
            "provider",
        )


def _spoken(names: Sequence[str] | None, otherwise: tuple[Surface, ...]) -> tuple[Surface, ...]:
    if names is None:
        return otherwise
    spoken = tuple(surface for surface in SURFACES if surface.value in names)
    if not spoken or len(spoken) < len(set(names)):
        raise _refused(f"surfaces are {' and '.join(SURFACES)}, at least one of them.", "surfaces")
    return spoken


def _refused(text: str, param: str) -> TesseraError:
    return TesseraError(ErrorCode.INVALID_REQUEST, text, param=param)


def _configured_object(name: str, configured: Configured) -> dict[str, Any]:
    return {
        "object": "provider",
        "id": name,
        "source": configured.source,
        "state": "configured",
        "base_url": configured.base_url,
    }


async def _stored_object(vault: Vault, credential: StoredCredential) -> dict[str, Any]:
    state, reason = await _state(vault, credential)
    return {
        "object": "provider",
        "id": credential.provider,
        "source": "stored",
        "state": state,
        "reason": reason,
        "base_url": credential.base_url,
        "surfaces": [surface.value for surface in credential.surfaces],
        "last_four": credential.last_four,
        "key_version": credential.key_version,
        "created_at": credential.created_at,
        "rotated_at": credential.rotated_at,
        "set_by": {"kind": credential.set_by_kind.value, "id": credential.set_by},
        "rejected_at": credential.rejected_at,
        "rejected_status": credential.rejected_status,
    }


async def _state(vault: Vault, credential: StoredCredential) -> tuple[str, str | None]:
    """on, off, unreadable, refused (its address) or overridden, and why in words for the operator."""
    if credential.provider in vault.configured:
        return "overridden", "the settings have a provider of this name, which is used instead"
    if credential.is_off:
        return "off", f"the provider refused it with status {credential.rejected_status}; set another"
    try:
        await vault.credentials.unseal(credential)
        vault.addresses.check(credential.base_url)
    except UnreadableError as why:
        return "unreadable", f"{why}; set it again"
    except TesseraError as error:
        return "refused", error.message
    return "on", None
