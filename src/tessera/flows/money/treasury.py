"""Everything the flows of money in and out reach the world through; made by the composition root."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import msgspec

from tessera.domain.auth import Caller
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.money import Mode
from tessera.domain.payments.documents import Document
from tessera.domain.people.records import Act, Actor, ActorKind
from tessera.ports.money import MoneyStore, Payments

OPERATOR = Actor(kind=ActorKind.OPERATOR, id="operator", is_operator=True)
"""Who acts at the command line."""


class TopUpLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of one top-up."""

    least_nanos: int
    most_nanos: int


class Owner(msgspec.Struct, frozen=True, kw_only=True):
    """Whose money, in which mode; `actor` is who acts, unless it is an API key."""

    organization_id: str
    mode: Mode
    actor: Actor | None = None

    def act(self, action: str, object_id: str, **details: str | int | bool | None) -> Act | None:
        """What the audit log says of it; what an API key does stands in the ledger alone."""
        if self.actor is None:
            return None
        return Act(actor=self.actor, action=action, object_id=object_id, details={"mode": self.mode.value, **details})


@dataclass(slots=True)
class Treasury:
    """The ports and settings of money in and out.

    `payments` are the services that take money, by mode; `webhook_secrets` pairs each secret with the mode it proves.
    `digest` is HMAC-SHA-256 under the operator's pepper; `now` gives seconds since 1970; `base_url` is where pages
    lead; `print_pdf` makes a PDF of a document, which `printing` lets happen one at a time. `automatic_tax` has
    Stripe collect tax beside the price.
    """

    store: MoneyStore
    payments: Mapping[Mode, Payments]
    webhook_secrets: tuple[tuple[Mode, str], ...]
    digest: Callable[[str], bytes]
    random: Callable[[int], bytes]
    make_id: Callable[[str], str]
    now: Callable[[], int]
    base_url: Callable[[], str]
    print_pdf: Callable[[Document], bytes]
    limits: TopUpLimits
    automatic_tax: bool = False
    printing: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def hears_webhooks(self) -> bool:
        """Whether there is a secret to check them with; without one their route does not exist."""
        return bool(self.webhook_secrets)


def owner_of(who: Caller | Actor, mode: str | None) -> Owner:
    """Whose money a caller or a member speaks of: a key's own mode, or the one a member names (live unless said).

    Raises [invalid_request] for a key that names another mode.
    """
    if isinstance(who, Caller):
        if mode is not None and mode != who.mode:
            raise TesseraError(ErrorCode.INVALID_REQUEST, f"This key is for {who.mode} money.", param="mode")
        return Owner(organization_id=who.organization_id, mode=who.mode)
    try:
        return Owner(organization_id=who.organization_id, mode=Mode(mode or Mode.LIVE), actor=who)
    except ValueError:
        raise TesseraError(ErrorCode.INVALID_REQUEST, "mode must be live or test.", param="mode") from None
