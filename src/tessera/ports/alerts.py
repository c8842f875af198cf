"""What flows need to raise alerts and to deliver them: the storage of both, and a way to call a stranger's address.

Every verb of the storage raises [storage_unavailable] when the database cannot answer, and what it names.
"""

from collections.abc import Collection
from typing import Protocol

from tessera.domain.alerts import Alert
from tessera.domain.deliveries import DeliveryState, Errand, Notice, Webhook
from tessera.domain.people.records import Act
from tessera.ports import Page


class Alerts(Protocol):
    """Alerts, webhooks, and the outbox of what was raised."""

    async def create_alert(self, act: Act, alert: Alert) -> Alert:
        """Stores an alert; its subject is an id or a project's name. Raises [not_found], [invalid_request] for too
        many."""
        ...

    async def list_alerts(self, organization_id: str, page: Page) -> tuple[Alert, ...]:
        """An organization's alerts, oldest first."""
        ...

    async def remove_alert(self, act: Act) -> bool:
        """Removes an alert for good; False if there is none."""
        ...

    async def create_webhook(self, act: Act, webhook: Webhook) -> Webhook:
        """Stores a webhook. Raises [invalid_request] for too many."""
        ...

    async def list_webhooks(self, organization_id: str, page: Page) -> tuple[Webhook, ...]:
        """An organization's webhooks, oldest first."""
        ...

    async def remove_webhook(self, act: Act) -> bool:
        """Removes a webhook for good; False if there is none. What waits for it is given up at its next try."""
        ...

    async def list_notices(self, organization_id: str, page: Page) -> tuple[Notice, ...]:
        """What was raised, newest first, each with its deliveries."""
        ...

    async def raise_alerts(self, now_us: int) -> tuple[str, ...]:
        """Raises every alert whose threshold is crossed, each in a commit with its notice and deliveries; the
        notices' ids. However many processes do this at once, one raises each."""
        ...

    async def raise_ended(self, ended_us: int) -> tuple[str, ...]:
        """Raises every alert that was crossed in the day, or with it the month, that ended at `ended_us` (microseconds
        since 1970) and that nobody raised in it, as `raise_alerts` does."""
        ...

    async def take_errands(self, now: int, limit: int, busy: Collection[str] = ()) -> tuple[Errand, ...]:
        """Takes deliveries that are due, for one try each within `LEASE_S`; no other process takes the same.

        Of one organization `AT_ONCE_OF_ORGANIZATION_MAX` notices at most, and none of those that are `busy`.
        """
        ...

    async def end_errand(
        self, errand: Errand, state: DeliveryState, *, error: str | None, next_at: int, now: int
    ) -> None:
        """Notes how a try ended. `next_at` counts while the delivery waits on."""
        ...


class WebhookSender(Protocol):
    """Calls addresses that strangers name."""

    def check(self, url: str) -> str:
        """The address as it will be called. Raises [invalid_request] for one that never will be."""
        ...

    async def send(self, url: str, body: bytes, headers: dict[str, str]) -> None:
        """Posts a body. Raises OSError, in words for the webhook's owner, unless the answer is 2xx."""
        ...
