"""What flows need of the world: a handful of verbs each, shaped by the caller, free of any framework's types.

Every port names the errors it raises; adapters raise nothing else. `TesseraError` codes stand in brackets.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Protocol

import msgspec

from tessera.domain.advisories import Advisory, ImageFacts
from tessera.domain.auth import Caller
from tessera.domain.key_rules import KeyRules
from tessera.domain.ledger.idempotency import KeyOrder
from tessera.domain.ledger.limits import Limits, Meter, SubjectKind
from tessera.domain.ledger.orders import HoldGrant, HoldOrder
from tessera.domain.ledger.reconciliation import Reconciliation
from tessera.domain.money import Mode
from tessera.domain.quantities import Quantities
from tessera.domain.request import ImagePart, InferenceRequest, Surface
from tessera.domain.tokens import TokenCount
from tessera.domain.usage import UsageEvent
from tessera.usage_ports import UsageRecords


class TextCounter(Protocol):
    """A tokenizer: the number of tokens of a text, special tokens counted as ordinary text."""

    def __call__(self, text: str, /) -> int: ...


# ---- media ---------------------------------------------------------------------------------------------------


class ProbedImage(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of an image without decoding its pixels.

    `width` and `height` are as displayed (EXIF orientation applied); `orientation` is the EXIF value, 1 to 8.
    `format` is png, jpeg, webp, gif, heic or avif; `size_bytes` the file's length. `content` is the file's bytes when
    the image was fetched, so that what was counted is what is sent; None for a data URL, whose bytes are in the body.
    A format that no provider takes is converted when the operator's installation can: then `converted` is set, and
    `format` and `content` are what is to be sent, whether it came by address or in the body. `facts` is what
    `domain.advisories` starts from.
    """

    index: int
    source: str
    format: str
    width: int
    height: int
    orientation: int
    size_bytes: int
    content: bytes | None = None
    converted: bool = False
    facts: ImageFacts = ImageFacts()
    advisories: tuple[Advisory, ...] = ()


class Media(Protocol):
    """Looks at images from strangers."""

    async def probe(self, images: Sequence[ImagePart]) -> tuple[ProbedImage, ...]:
        """Size, format and advisories of each image; an address is fetched once, guarded.

        Raises [invalid_image_url, failed_to_download_image, invalid_base64_image, unsupported_image_format,
        image_too_large, image_parse_error, too_many_images].
        """
        ...


# ---- providers -----------------------------------------------------------------------------------------------


class Deployment(msgspec.Struct, frozen=True, kw_only=True):
    """A (model, provider, base URL, surfaces) that can serve. `name` is `provider/upstream_model`.

    `explicit_tier` says that the provider understands `service_tier`, so that none is left to its own settings.
    """

    name: str
    provider: str
    model: str
    upstream_model: str
    surfaces: tuple[Surface, ...]
    explicit_tier: bool = False


class UpstreamCall(msgspec.Struct, frozen=True, kw_only=True):
    """One call to a deployment, ready to be sent.

    `body` is the upstream body in pieces, sent one after the other without joining; they are views into the caller's
    own bytes wherever nothing had to change. `request`, `count`, `images` and `output_cap` are for providers inside
    this process, which answer from the counting view. `headers` are the few caller headers that may go on.
    `credential` is the key that authenticates towards the provider, never the caller's. `counting` asks the provider's
    counter how many input tokens the body has, instead of an answer. `on_sent` is called as the request begins to go
    out to the provider: before that, leaving costs nobody anything.
    """

    request_id: str
    deployment: Deployment
    surface: Surface
    stream: bool
    body: Sequence[bytes | memoryview]
    request: InferenceRequest
    count: TokenCount
    images: tuple[ProbedImage, ...]
    output_cap: int
    headers: Mapping[str, str]
    counting: bool = False
    on_sent: Callable[[], None] | None = None


class UpstreamReply(Protocol):
    """A provider's answer, head first. Must be closed exactly once, whatever happened."""

    status: int
    headers: Mapping[str, str]

    def chunks(self) -> AsyncIterator[bytes]:
        """The body as it arrives, never decompressed beyond its cap. Raises [provider_error, provider_timeout]."""
        ...

    async def close(self) -> None:
        """Gives the connection back, or cuts it when the body was not read to its end."""
        ...


class Provider(Protocol):
    """A company, a server, or an engine inside this process that serves models."""

    async def send(self, call: UpstreamCall) -> UpstreamReply:
        """Sends a call and returns when the head of the answer is here.

        Raises [provider_error, provider_timeout, overloaded]; an HTTP error status is an answer, not an exception.
        A provider inside this process also raises the caller's own mistakes [invalid_request, unsupported_parameter,
        invalid_base64_image and the other image codes], in words meant for the caller.
        """
        ...

    async def close(self) -> None:
        """Closes every connection."""
        ...


# ---- storage -------------------------------------------------------------------------------------------------


class Lot(msgspec.Struct, frozen=True, kw_only=True):
    """A piece of credit: `kind` is purchase, promotion or manual; `expires_at` is seconds since 1970 or None."""

    id: str
    kind: str
    amount_nanos: int
    remaining_nanos: int
    created_at: int
    expires_at: int | None


class Balance(msgspec.Struct, frozen=True, kw_only=True):
    """One organization's money in one mode: what can be spent, what running calls hold, what was ever spent.

    `disputed_nanos` is what payment disputes took back; lots do not show it: `available_nanos` is what they have
    remaining less this, and can be below zero by it.
    """

    mode: Mode
    available_nanos: int
    held_nanos: int
    spent_nanos: int
    lots: tuple[Lot, ...]
    disputed_nanos: int = 0


class LedgerEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One side of a transfer: `account` gained `amount_nanos` (negative: gave). `kind` is credit, hold, settle…"""

    id: str
    transfer_id: str
    kind: str
    account: str
    amount_nanos: int
    request_id: str | None
    created_at: int
    note: str | None = None


class RequestRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A call as stored: its hold, its entries and, once resolved, its usage event. `state` is open, settled, …"""

    hold: HoldOrder
    held_nanos: int
    state: str
    event: UsageEvent | None
    entries: tuple[LedgerEntry, ...]


class SavedQuote(msgspec.Struct, frozen=True, kw_only=True):
    """A quote a caller can come back to: `body` is the quote as JSON, `expires_at_us` when it stops binding."""

    id: str
    organization_id: str
    mode: Mode
    model: str
    max_nanos: int
    price_version: str
    created_at_us: int
    expires_at_us: int
    body: bytes


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """How a list is paged, as OpenAI's lists are: `after` is the last id seen, newest first.

    A list of calls or entries that does not hold `after` raises [invalid_request].
    """

    limit: int = 20
    after: str | None = None


class Storage(UsageRecords, Protocol):
    """The system of record. Every verb raises [storage_unavailable] when the database cannot answer."""

    async def find_caller(self, digest: bytes) -> Caller | None:
        """The caller whose API key has this digest; None for unknown, revoked or expired keys alike."""
        ...

    async def find_cut_keys(self, key_ids: tuple[str, ...]) -> frozenset[str]:
        """Those of these API keys that were revoked at once: the calls that run under them are to be cut."""
        ...

    async def hold(self, order: HoldOrder) -> HoldGrant:
        """Decides and reserves, durably, in one commit.

        Raises [insufficient_balance, balance_reserved, organization_suspended, idempotency_mismatch,
        idempotency_in_progress]; the two money errors carry `required`, `available` and `held` as details.
        """
        ...

    async def find_repeat(self, order: KeyOrder) -> HoldGrant | None:
        """The finished reply of the call that used an idempotency key before; None for a key that is free.

        Raises [idempotency_mismatch, idempotency_in_progress].
        """
        ...

    async def settle(self, event: UsageEvent) -> None:
        """Resolves a hold exactly once, durable on return. The same event again changes nothing.

        What was handed in is finished even when the caller is cancelled while it waits.

        If the database cannot be reached, the event is kept in the durable outbox and settled later.
        """
        ...

    async def find_request(self, organization_id: str, mode: Mode, request_id: str) -> RequestRecord | None: ...

    async def list_requests(self, organization_id: str, mode: Mode, page: Page) -> tuple[RequestRecord, ...]: ...

    async def balance(self, organization_id: str, mode: Mode) -> Balance: ...

    async def list_entries(self, organization_id: str, mode: Mode, page: Page) -> tuple[LedgerEntry, ...]: ...

    async def save_quote(self, quote: SavedQuote) -> None: ...

    async def find_quote(self, organization_id: str, mode: Mode, quote_id: str) -> SavedQuote | None: ...

    async def ready(self) -> bool:
        """Whether a hold could be placed now."""
        ...


# ---- administration ------------------------------------------------------------------------------------------


class Organization(msgspec.Struct, frozen=True, kw_only=True):
    """Who owns money, projects and keys. `created_at` is seconds since 1970; `suspended_for` is loss, operator or
    None."""

    id: str
    name: str
    created_at: int
    suspended: bool = False
    suspended_for: str | None = None


class LossDay(msgspec.Struct, frozen=True, kw_only=True):
    """What the operator lost on one organization on one UTC day: the provider's cost of calls no customer paid for.

    Of `loss_nanos`, `left_loss_nanos` went on the `left_calls` whose client left before any output. `forgiven_nanos` is
    what had been lost when a suspension was last lifted.
    """

    day: date
    loss_nanos: int
    forgiven_nanos: int
    left_calls: int
    left_loss_nanos: int


class ApiKey(msgspec.Struct, frozen=True, kw_only=True):
    """An API key as it can be shown again: never the secret, only `display` (`sk-tess-live-Ab3d…wxyz`).

    `revoked_at` is when it ends, or ended: one in the future is its expiry, and until then it works. `rules` is what it
    may be used for, None for anything; `last_used_at` is when its last call was held, in seconds since 1970.
    """

    id: str
    name: str
    mode: Mode
    organization_id: str
    project_id: str
    project: str
    display: str
    created_at: int
    revoked_at: int | None = None
    rules: KeyRules | None = None
    last_used_at: int | None = None


class UsageRow(msgspec.Struct, frozen=True, kw_only=True):
    """What one organization used of one model in one mode."""

    mode: Mode
    model: str
    calls: int
    usage: Quantities
    charge_nanos: int
    cost_nanos: int


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One audited invariant of the ledger. `detail` says what was counted, or which row is wrong."""

    name: str
    ok: bool
    detail: str


class Administration(Protocol):
    """What an operator does to accounts. Works beside a running server. Raises [invalid_request, not_found,
    storage_unavailable]."""

    async def create_organization(self, name: str) -> Organization:
        """With its default project, both wallets and $100 of test credit. A name that is taken is refused."""
        ...

    async def list_organizations(self) -> tuple[Organization, ...]: ...

    async def find_organization(self, name_or_id: str) -> Organization: ...

    async def suspend_organization(self, organization_id: str) -> Organization:
        """Its new calls are refused as organization_suspended from the next hold on; running ones finish."""
        ...

    async def resume_organization(self, organization_id: str) -> Organization:
        """Lifts a suspension, whatever its reason; losses so far no longer count towards a day's limit."""
        ...

    async def set_limits(
        self, organization_id: str, mode: Mode, kind: SubjectKind, subject: str, limits: Limits
    ) -> Meter:
        """Replaces the limits of a key, a project or the organization itself in one mode; holds that stand stay.

        `subject` is an id, or a project's name. Raises [not_found] for one that is not the organization's, and for
        a key of the other mode.
        """
        ...

    async def list_meters(self, organization_id: str, mode: Mode) -> tuple[Meter, ...]:
        """What keys, projects and the organization have used in one mode, and their limits; those never used or limited
        are left out."""
        ...

    async def list_losses(self, organization_id: str, mode: Mode, page: Page) -> tuple[LossDay, ...]:
        """Days with losses, newest first; `after` is a day such as 2026-11-22."""
        ...

    async def create_key(
        self,
        organization_id: str,
        *,
        project: str,
        mode: Mode,
        name: str,
        digest: bytes,
        display: str,
        rules: KeyRules | None = None,
    ) -> ApiKey:
        """Stores a key by its digest; the project is created when it does not exist. `rules` are as `made_rules` makes
        them."""
        ...

    async def list_keys(self, organization_id: str) -> tuple[ApiKey, ...]: ...

    async def revoke_key(self, key_id: str, *, cut: bool = False) -> ApiKey:
        """Calls with it are refused from now on, by every process within seconds; with `cut` those that run are cut."""
        ...

    async def add_credit(
        self,
        organization_id: str,
        mode: Mode,
        amount_nanos: int,
        *,
        kind: str,
        note: str,
        expires_at: int | None = None,
    ) -> Lot: ...

    async def usage(self, organization_id: str) -> tuple[UsageRow, ...]: ...

    async def reconciliation(self) -> Reconciliation:
        """Settlements that were refused and usage that could not be true, of all organizations."""
        ...

    async def verify(self) -> tuple[Check, ...]:
        """Audits every invariant over the whole ledger."""
        ...

    async def backup(self, target: Path) -> None:
        """A consistent copy of everything, taken beside a running server, into a new file."""
        ...
