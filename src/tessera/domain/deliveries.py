"""Deliveries of letters and of what was raised: to whom, how often each is tried, when it is given up."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

import msgspec

RETRY_AFTER_S = (10, 60, 300, 1_800, 7_200, 18_000, 36_000)
"""How long after each failed try the next one comes; after the last, a delivery is given up: 17 hours in all."""

LEASE_S = 60
"""How long a try may take; one whose process died is taken over after it."""


AT_ONCE_OF_ORGANIZATION_MAX = 4
"""How many notices of one organization are delivered at once: those whose receivers are slow hold up their own only."""


class DeliveryKind(StrEnum):
    """A notice by letter to a member, or by a signed request to a webhook; or a letter of its own to an address."""

    MAIL = "mail"
    WEBHOOK = "webhook"
    LETTER = "letter"


class DeliveryState(StrEnum):
    """Waiting for its next try, taken by its receiver, or given up."""

    WAITING = "waiting"
    SENT = "sent"
    GIVEN_UP = "given_up"


class LetterKind(StrEnum):
    """What a letter of its own is about. One to nobody is written where an answer must not tell that there is no
    account: it takes the same time, and is never sent."""

    SIGN_UP = "sign_up"
    KNOWN = "known"
    RESET = "reset"
    CHANGED = "changed"
    INVITATION = "invitation"
    NEW_EMAIL = "new_email"
    EMAIL_TAKEN = "email_taken"
    EMAIL_ASKED = "email_asked"
    EMAIL_CHANGED = "email_changed"
    IDENTITY = "identity"
    NOBODY = "nobody"


class WaitingLetter(msgspec.Struct, frozen=True, kw_only=True):
    """A letter before it is written. The secret in its link follows from `nonce`, and is stored nowhere.

    `about` is what else it speaks of: another address, whose account it is, an identity provider.
    """

    kind: LetterKind
    nonce: str
    about: str = ""


class Webhook(msgspec.Struct, frozen=True, kw_only=True):
    """An address that hears of alerts. `nonce` is what its secret is derived from; the secret is stored nowhere."""

    id: str
    organization_id: str
    url: str
    nonce: str
    created_at: int


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """Something to one receiver, its `target`: a member's id, a webhook's, or an address."""

    id: str
    kind: DeliveryKind
    target: str
    state: DeliveryState
    tries: int
    next_at: int
    error: str | None = None
    ended_at: int | None = None


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """An alert that was raised. `id` is the same in every try of every delivery: receivers know repeats by it."""

    id: str
    organization_id: str
    created_at: int
    data: Mapping[str, Any]
    deliveries: tuple[Delivery, ...] = ()


class Errand(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery that this process took for one try: of a notice, or of a letter of its own.

    `webhook` is None for mail and for webhooks since removed.
    """

    delivery: Delivery
    notice: Notice | None = None
    webhook: Webhook | None = None
    letter: WaitingLetter | None = None


def retry_at(tries: int, now: int) -> int | None:
    """When to try again after `tries` tries that failed; None to give up."""
    return now + RETRY_AFTER_S[tries - 1] if tries <= len(RETRY_AFTER_S) else None
