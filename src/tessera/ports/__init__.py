"""What flows need of the world: a handful of verbs each, shaped by the caller, free of any framework's types.

Every port names the errors it raises; adapters raise nothing else. `TesseraError` codes stand in brackets.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Protocol

import msgspec

from tessera.domain.advisories import Advisory, ImageFacts
from tessera.domain.auth import Caller
from tessera.domain.ledger.idempotency import KeyOrder
from tessera.domain.ledger.orders import HoldGrant, HoldOrder
from tessera.domain.money import Mode
from tessera.domain.request import ImagePart, InferenceRequest, Surface
from tessera.domain.tokens import TokenCount
from tessera.domain.usage import UsageEvent
from tessera.ports.usage import UsageRecords


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

    async def probe(
        self, images: Sequence[ImagePart], take: Callable[[int], None] | None = None
    ) -> tuple[ProbedImage, ...]:
        """Size, format and advisories of each image; an address is fetched once, guarded.

        `take` is told of each piece of a file, in bytes, as it is fetched, and may raise to end that. Raises
        [invalid_image_url, failed_to_download_image, invalid_base64_image, unsupported_image_format,
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

    `disputed_nanos` is what payment disputes took back, `owed_nanos` what refunds wait for of what running calls hold.
    Lots do not show the two: `available_nanos` is what they have remaining less both, and can be below zero by them.
    """

    mode: Mode
    available_nanos: int
    held_nanos: int
    spent_nanos: int
    lots: tuple[Lot, ...]
    disputed_nanos: int = 0
    owed_nanos: int = 0


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
    """A call as stored: its hold, its entries and, once resolved, its usage event. `state` is open, settled, …

    `refunded_nanos` is what was given back of its charge since.
    """

    hold: HoldOrder
    held_nanos: int
    state: str
    event: UsageEvent | None
    entries: tuple[LedgerEntry, ...]
    refunded_nanos: int = 0


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
