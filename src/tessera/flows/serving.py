"""Serve a held call: send it on, fall back while nothing was delivered, relay the answer, settle before it ends.

Always holds: whatever happens between hold and settle, cancellation included, the hold is resolved exactly once and the
provider's connection is given back or cut.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping

import msgspec

from tessera.domain.auth import Caller
from tessera.domain.dialects.errors import STATUS, error_object
from tessera.domain.dialects.receipt import finish_reply
from tessera.domain.dialects.relay import StreamRelay
from tessera.domain.dialects.repeated import NONE, Settings, settings_of
from tessera.domain.dialects.translate import translate_reply
from tessera.domain.dialects.usage import read_reply
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.ledger.orders import HoldOrder, Outcome, StoredReply
from tessera.domain.request import Surface
from tessera.flows.leaving import UnbrokenBody, body_of, reads_on
from tessera.flows.metering import OutputMeter
from tessera.flows.quoting import Estimate
from tessera.flows.sending import open_upstream, overlong, spoiled
from tessera.flows.settling import NO_FACTS, Running, price_up, receipt_of, settle, write
from tessera.flows.world import World
from tessera.ports import UpstreamReply


class WholeReply(msgspec.Struct, frozen=True):
    """A finished, settled reply, ready to be sent."""

    body: bytes
    charge_nanos: int


async def serve(
    world: World,
    caller: Caller,
    headers: Mapping[str, str],
    found: Estimate,
    order: HoldOrder,
    granted_nanos: int,
    started_ms: int,
) -> "WholeReply | LiveStream":
    """The answer to a held call: whole and settled, or a stream that settles itself before it ends."""
    running = Running(world, caller, found, order, granted_nanos, started_ms)
    running.task = asyncio.current_task()
    world.calls[order.id] = running
    if found.request.stream:
        return LiveStream(running, headers)
    failure: TesseraError | None = None
    try:
        while True:
            surface, upstream = await open_upstream(running, headers, failure)
            try:
                return await _whole(running, surface, upstream)
            except TesseraError as error:
                if not spoiled(running, error):
                    raise
                failure = error
            finally:
                await upstream.close()
    except BaseException as error:
        await settle(running, _outcome(error, running), NO_FACTS, _refused(running, error))
        raise _final(error, running) from None


async def _whole(running: Running, surface: Surface, upstream: UpstreamReply) -> WholeReply:
    limits = running.world.limits
    pieces: list[bytes] = []
    size = 0
    async for piece in upstream.chunks():
        if running.first_byte_ms is None:
            running.first_byte_ms = running.elapsed_ms()
        size += len(piece)
        if size > limits.reply_bytes_max:
            raise overlong(running)
        pieces.append(piece)
    raw = b"".join(pieces)
    facts = read_reply(surface, raw)
    caller_surface = running.found.request.surface
    if surface is not caller_surface:
        raw = translate_reply(
            surface,
            caller_surface,
            raw,
            model=running.found.request.model,
            fallback_id=_fallback_id(running.order.id),
            repeated=_repeated(running.found, surface),
        )
    event = await price_up(running, Outcome.COMPLETED, facts)
    body = finish_reply(caller_surface, raw, receipt_of(event), reported=facts.usage is not None)
    if running.order.idempotency_key is not None:
        event = msgspec.structs.replace(event, reply=_stored(running, event.charge_nanos, "application/json", body))
    await write(running, event)
    return WholeReply(body, event.charge_nanos)


class LiveStream:
    """A streamed answer. `open` first, then `chunks` to the end; or `abandon` when the client left in between."""

    def __init__(self, running: Running, headers: Mapping[str, str]) -> None:
        self._running = running
        self._headers = headers
        self._relay: StreamRelay | None = None
        self._upstream: UpstreamReply | None = None
        self._body: AsyncIterator[bytes] | None = None
        self._first: list[bytes] = []
        self._received = 0
        self._handed_over = False
        self._kept: list[bytes] | None = [] if running.order.idempotency_key is not None else None
        self._kept_bytes = 0
        self._last: list[bytes] | None = None

    async def open(self) -> None:
        """Returns when a provider's answer has begun. Raises what inference raises; the hold is then resolved."""
        running = self._running
        request = running.found.request
        failure: TesseraError | None = None
        try:
            while True:
                surface, self._upstream = await open_upstream(running, self._headers, failure)
                self._body = body_of(running, self._upstream)
                self._relay = StreamRelay(
                    surface,
                    request.surface,
                    include_usage=request.include_usage,
                    model=request.model,
                    fallback_id=_fallback_id(running.order.id),
                    repeated=_repeated(running.found, surface),
                )
                failure = await self._begin(self._relay, self._body)
                if failure is None:
                    return
                await self._close()
                if not spoiled(running, failure):
                    raise failure
        except BaseException as error:
            await self._resolve(error)
            raise _final(error, running) from None

    async def _begin(self, relay: StreamRelay, body: AsyncIterator[bytes]) -> TesseraError | None:
        """Waits for the first frame that may go to the client; what came in its place, if something else did."""
        running = self._running
        try:
            async for chunk in body:
                if running.first_byte_ms is None:
                    running.first_byte_ms = running.elapsed_ms()
                self._received += len(chunk)
                self._first = relay.feed(chunk)
                if self._first or relay.finished or self._received > running.world.limits.reply_bytes_max:
                    break
            else:
                relay.end()
        except TesseraError as error:
            return error
        if self._first or (relay.finished and relay.error is None):
            return None
        return relay.error or TesseraError(ErrorCode.PROVIDER_ERROR, "The provider's stream ended before its answer.")

    async def _close(self) -> None:
        upstream, self._upstream = self._upstream, None
        if upstream is not None:
            if isinstance(self._body, UnbrokenBody):
                await self._body.close()
            await upstream.close()

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """Event-stream bytes, whole frames. The last ones come after the settle is durable.

        A failure after the first token is an error frame, not an exception; closing the iterator early settles as a
        disconnect.
        """
        running, relay, body = self._running, self._relay, self._body
        assert relay is not None
        assert body is not None
        meter = OutputMeter(running)
        bytes_max = running.world.limits.reply_bytes_max
        now_ms = running.world.clock.monotonic_ms
        until_ms = running.started_ms + running.world.limits.call_seconds_max * 1000
        try:
            try:
                for piece in self._first:
                    yield self._keep(piece)
                while not relay.finished and (chunk := await anext(body, None)) is not None:
                    for piece in relay.feed(chunk):
                        yield piece if self._kept is None else self._keep(piece)
                    self._received += len(chunk)
                    if not relay.finished and (
                        self._received > bytes_max
                        or now_ms() > until_ms
                        or (relay.output_chars > meter.look_at and await meter.over(relay.facts))
                    ):
                        relay.cut_length()
                relay.end()
            except (TesseraError, asyncio.CancelledError) as error:
                if isinstance(error, asyncio.CancelledError) and not running.ended_by_us:
                    raise
                await settle(running, _outcome(error, running), relay.facts, self._failed(relay, error))
                said = _spent(error, running) if isinstance(error, TesseraError) else ended(running)
                for piece in self._failure(relay, said):
                    yield piece
                return
            async for piece in self._end(relay):
                yield piece
        except BaseException as error:
            await self._resolve(error)
            raise
        finally:
            await self._close()

    async def _resolve(self, error: BaseException) -> None:
        """Settles a call that ended early, at once or when its answer has been read to its end without its client."""
        running, relay, upstream = self._running, self._relay, self._upstream
        outcome = _outcome(error, running)
        if relay is not None and upstream is not None and reads_on(running, outcome, relay, self._body, upstream):
            self._upstream, self._handed_over = None, True
            return
        try:
            await self._close()
        finally:
            await settle(running, outcome, relay.facts if relay else NO_FACTS, _refused(running, error))

    async def _end(self, relay: StreamRelay) -> AsyncGenerator[bytes, None]:
        """Settles a stream that the provider ended, then its terminal frames."""
        running = self._running
        if relay.error is not None or not relay.finished:
            error = relay.error or TesseraError(ErrorCode.PROVIDER_ERROR, "The provider cut the stream off.")
            await settle(running, Outcome.PROVIDER_ERROR, relay.facts, self._failed(relay, error))
            for piece in self._failure(relay, _spent(error, running)):
                yield piece
            return
        event = await price_up(running, Outcome.COMPLETED, relay.facts)
        last = relay.finish(receipt_of(event))
        if self._kept is not None:
            body = b"".join([*self._kept, *last])
            event = msgspec.structs.replace(
                event, reply=_stored(running, event.charge_nanos, "text/event-stream", body)
            )
        await write(running, event)
        for piece in last:
            yield piece

    async def abandon(self, opening: "asyncio.Task[None]") -> None:
        """Resolves the hold of a stream that is being opened, or was, and that nobody will read; whoever waits for this
        may be cancelled too."""

        async def work() -> None:
            opening.cancel()
            await asyncio.wait({opening})
            if self._handed_over:
                return
            try:
                await settle(self._running, _outcome(asyncio.CancelledError(), self._running), NO_FACTS)
            finally:
                await self._close()

        await asyncio.shield(self._running.world.spawn(work()))

    @property
    def ended_by_us(self) -> TesseraError | None:
        """What the client is told when it was us who cut the call; None when it left."""
        return ended(self._running) if self._running.ended_by_us else None

    def error_frames(self, error: TesseraError) -> list[bytes]:
        """The frames that end a stream whose head was sent before the provider refused."""
        request = self._running.found.request
        relay = StreamRelay(request.surface, request.surface, include_usage=request.include_usage, model=request.model)
        return relay.fail(error)

    def _failure(self, relay: StreamRelay, error: TesseraError) -> list[bytes]:
        """The frames that end a broken stream: made once, kept and sent."""
        if self._last is None:
            self._last = relay.fail(error)
        return self._last

    def _failed(self, relay: StreamRelay, error: BaseException) -> StoredReply | None:
        """A stream that broke, as a repeat under its key gets it again."""
        if self._kept is None or not isinstance(error, TesseraError):
            return None
        body = b"".join([*self._kept, *self._failure(relay, error)])
        return _stored(self._running, 0, "text/event-stream", body)

    def _keep(self, piece: bytes) -> bytes:
        if self._kept is not None:
            self._kept_bytes += len(piece)
            self._kept.append(piece)
            if self._kept_bytes > self._running.world.limits.stored_reply_bytes_max:
                self._kept = None
        return piece


def _repeated(found: Estimate, upstream: Surface) -> Settings:
    """What the reply to a response's request repeats of it, where the provider was asked in other words."""
    translated = upstream is not found.request.surface and found.request.surface is Surface.RESPONSES
    return settings_of(found.body) if translated else NONE


def _fallback_id(request_id: str) -> str:
    """The id of an answer to which its provider gave none."""
    return request_id.removeprefix("req_")


def _stored(running: Running, charge_nanos: int, content_type: str, body: bytes) -> StoredReply | None:
    if len(body) > running.world.limits.stored_reply_bytes_max:
        return None
    return StoredReply(
        request_id=running.order.id, status=200, content_type=content_type, body=body, charge_nanos=charge_nanos
    )


def _refused(running: Running, error: BaseException) -> StoredReply | None:
    """An error reply, as a repeat under its key gets it again: once money was held, a call is not run twice."""
    if running.order.idempotency_key is None or not isinstance(error, TesseraError):
        return None
    body = msgspec.json.encode(error_object(running.found.request.surface, error))
    return StoredReply(
        request_id=running.order.id,
        status=STATUS[error.code],
        content_type="application/json",
        body=body,
        charge_nanos=0,
    )


def stopped() -> TesseraError:
    """What a call hears that was still running when the time for calls in flight was over."""
    return TesseraError(
        ErrorCode.OVERLOADED,
        "This server is being stopped and the call took longer than it could wait; nothing was charged.",
        should_retry=False,
    )


def ended(running: Running) -> TesseraError:
    """What a call hears that we cut: because its key was revoked at once, or because this server is being stopped."""
    if not running.revoked:
        return stopped()
    return TesseraError(
        ErrorCode.INVALID_API_KEY,
        "This API key was revoked while the call ran. The call was cut; what had been delivered was charged.",
        should_retry=False,
    )


def _outcome(error: BaseException, running: Running) -> Outcome:
    if isinstance(error, asyncio.CancelledError | GeneratorExit):
        if running.revoked:
            return Outcome.REVOKED
        return Outcome.CANCELLED if running.world.stopping else Outcome.CLIENT_DISCONNECTED
    if not isinstance(error, TesseraError):
        return Outcome.PROVIDER_ERROR
    if error.code is ErrorCode.PROVIDER_TIMEOUT:
        return Outcome.PROVIDER_TIMEOUT
    if error.code in _PROVIDER_CODES:
        return Outcome.PROVIDER_ERROR
    return Outcome.REFUSED


_PROVIDER_CODES = {
    ErrorCode.PROVIDER_ERROR,
    ErrorCode.PROVIDER_CREDENTIAL_REJECTED,
    ErrorCode.NO_DEPLOYMENT,
    ErrorCode.OVERLOADED,
    ErrorCode.RESOURCE_UNAVAILABLE,
    ErrorCode.RATE_LIMIT_EXCEEDED,
    ErrorCode.INTERNAL_ERROR,
}


def _final(error: BaseException, running: Running) -> BaseException:
    if isinstance(error, asyncio.CancelledError) and running.revoked:
        return ended(running)
    return _spent(error, running) if isinstance(error, TesseraError) else error


def _spent(error: TesseraError, running: Running) -> TesseraError:
    """Once a provider took the call, money may have been spent: no client library may repeat it by itself."""
    if running.accepted or running.lost:
        error.should_retry = False
    return error
