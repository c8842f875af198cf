"""Everything the flows of people reach the world through; made by the composition root."""

import asyncio
import hmac
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from tessera.flows.operator.credentials import Vault
from tessera.flows.operator.customers import Clientele
from tessera.flows.operator.prices import PriceList
from tessera.log import get_logger
from tessera.ports.alerts import Alerts, WebhookSender
from tessera.ports.identities import IdentityProvider
from tessera.ports.people import Mail, Passwords, People
from tessera.ports.usage import UsageRecords

log = get_logger(__name__)

LETTERS_WAITING_MAX = 1_000


class AccountLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds on what strangers and members may do. Tries are counted in windows of `window_s` seconds."""

    window_s: int = 900
    tries_per_account_max: int = 10
    tries_per_address_max: int = 100
    letters_per_mailbox_max: int = 5
    session_idle_s: int = 24 * 3600
    session_s: int = 14 * 24 * 3600
    sign_up_link_s: int = 24 * 3600
    operator_link_s: int = 24 * 3600
    reset_link_s: int = 3600
    email_link_s: int = 24 * 3600
    provider_sign_in_s: int = 600
    invitation_s: int = 7 * 24 * 3600
    rotation_overlap_s_max: int = 90 * 24 * 3600


@dataclass(slots=True)
class Accounts:
    """The ports and settings of people.

    `digest` is HMAC-SHA-256 under the operator's pepper; `now` gives seconds since 1970. `sign_up` is open, invite or
    closed. `base_url` is where links lead. `usage` is what their organizations used, `prices` the operator's price
    book. `has_model` says whether an id or alias is a model's. `vault` and `clientele` are for operators only: the
    credentials of providers, and customers. `tasks` holds work that goes on after the reply. `identity_providers` are
    those of the configuration file, by name, where a server runs.
    """

    people: People
    alerts: Alerts
    webhooks: WebhookSender
    vault: Vault
    clientele: Clientele
    usage: UsageRecords
    prices: PriceList
    passwords: Passwords
    mail: Mail
    digest: Callable[[str], bytes]
    random: Callable[[int], bytes]
    make_id: Callable[[str], str]
    now: Callable[[], int]
    sign_up: str
    base_url: str
    has_model: Callable[[str], bool]
    identity_providers: Mapping[str, IdentityProvider] = field(default_factory=dict)
    limits: AccountLimits = field(default_factory=AccountLimits)
    tasks: set[asyncio.Task[Any]] = field(default_factory=set)

    def digest_of(self, kind: str, secret: str) -> str:
        """What the database knows a secret by; `kind` keeps one kind of secret from passing for another."""
        return self.digest(f"{kind}:{secret}").hex()

    def csrf_token(self, session_token: str) -> str:
        """What a page must send beside the cookie: derived from the session's token, stored nowhere."""
        return self.digest_of("csrf", session_token)

    def is_csrf_token(self, session_token: str, presented: str) -> bool:
        """Compared in constant time."""
        return hmac.compare_digest(self.csrf_token(session_token).encode(), presented.encode("utf-8", "replace"))

    def spawn(self, work: Coroutine[Any, Any, Any]) -> None:
        """Runs work that must not show in the time of the reply; awaited at shutdown.

        A letter that there is no room for waits in the database until its lease is over.
        """
        if len(self.tasks) >= LETTERS_WAITING_MAX:
            work.close()
            log.warning("mail.waits", reason="too many letters wait")
            return
        task = asyncio.get_running_loop().create_task(self._guarded(work))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def drain(self) -> None:
        """Waits for all such work."""
        while self.tasks:
            await asyncio.wait(self.tasks)

    async def _guarded(self, work: Coroutine[Any, Any, Any]) -> None:
        try:
            await work
        except Exception:
            log.exception("people.background_failed")
