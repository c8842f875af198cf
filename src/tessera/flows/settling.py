"""End a held call: decide who pays, compute the charge, write it down once, durably."""

import asyncio
from collections.abc import Iterator
from typing import Any

import msgspec

from tessera.domain.auth import Caller
from tessera.domain.dialects.receipt import Receipt
from tessera.domain.dialects.usage import ReplyFacts
from tessera.domain.errors import TesseraError
from tessera.domain.ledger.orders import HoldOrder, Outcome, StoredReply
from tessera.domain.money import Mode, format_usd
from tessera.domain.pricing.charge import Charge, charge, charge_nanos, charge_object
from tessera.domain.pricing.rows import PriceRow
from tessera.domain.quantities import Quantities
from tessera.domain.request import Surface, Tier
from tessera.domain.tokens.slices import count_sliced
from tessera.domain.usage import (
    LEAVING,
    NOTHING,
    Attempt,
    Delivered,
    OnCancel,
    Owed,
    UsageEvent,
    UsageSource,
    owed,
    owed_past_allowance,
)
from tessera.flows.quoting import Estimate, price_row
from tessera.flows.world import World
from tessera.log import get_logger
from tessera.ports import Deployment

log = get_logger(__name__)

_encode = msgspec.json.Encoder().encode

_CONTEXTS_MAX = 4
"""Usage up to this many contexts is believed: a catalogue may be older than a model's context."""

_COUNT_ON_LOOP_CHARACTERS_MAX = 8_000
"""Longer texts are tokenized in a thread, so that the event loop never waits more than about a millisecond."""


class Running(msgspec.Struct, eq=False):
    """A held call on its way: what was pinned at the hold, and what has happened since.

    `accepted` says that the deployment in hand took the call, or may have, `sent` that the call was surely on its way;
    `lost` are those before it that took it and gave no answer. `ways` are the deployments not tried yet. `spoiled`
    says that an answer went wrong after it had begun, `overlong` that it was larger than is accepted, `unheard` that
    the client left before any output; `on_cancel` is what the deployment in hand bills for an answer that is not read
    to its end.
    """

    world: World
    caller: Caller
    found: Estimate
    order: HoldOrder
    granted_nanos: int
    started_ms: int
    attempts: list[Attempt] = []
    deployment: Deployment | None = None
    accepted: bool = False
    sent: bool = False
    ways: Iterator[tuple[Deployment, Surface]] | None = None
    lost: list[Deployment] = []
    spoiled: bool = False
    overlong: bool = False
    unheard: bool = False
    on_cancel: OnCancel = OnCancel.UNKNOWN
    first_byte_ms: int | None = None
    event: UsageEvent | None = None
    quarantined: bool = False
    task: asyncio.Task[Any] | None = None
    revoked: bool = False

    @property
    def key_id(self) -> str:
        """The API key the call runs under."""
        return self.order.key_id

    def cut(self) -> None:
        """Ends the call because its key was revoked at once; one that is being settled goes on."""
        if self.event is None and self.task is not None and not self.revoked:
            self.revoked = True
            self.task.cancel()

    @property
    def ended_by_us(self) -> bool:
        """Whether a cancellation of this call is our doing, not its client's."""
        return self.revoked or self.world.stopping

    def elapsed_ms(self) -> int:
        """Milliseconds since the call came in."""
        return self.world.clock.monotonic_ms() - self.started_ms

    def note_sent(self) -> None:
        """The request begins to go out to the deployment in hand."""
        self.sent = True


NO_FACTS = ReplyFacts()
_TASK_ENDS = (asyncio.CancelledError, GeneratorExit, KeyboardInterrupt, SystemExit)


async def price_up(running: Running, outcome: Outcome, facts: ReplyFacts) -> UsageEvent:
    """The usage event that resolves this call's hold, not yet written.

    Where what is known of the answer cannot be priced, by a mistake of ours, the call is priced as if nothing were
    known of it: a hold never stays for that.
    """
    for known in (facts, NO_FACTS):
        try:
            if known.usage is not None and _is_beyond_model(running, known.usage):
                known = msgspec.structs.replace(known, usage=None, absurd=True)
            reported = None if known.absurd else known.usage
            # Of an answer that nobody read, all that was asked for may be billed.
            output_tokens = running.found.output_cap * running.found.request.choices if running.overlong else 0
            if known.output_text and (reported is None or reported.output_tokens == 0):
                output_tokens = await _count_output(running, known.output_text)
            delivered = _delivered(running, outcome, known, reported, output_tokens)
            decided = owed(outcome, delivered)
            event = _event(running, outcome, known, decided)
            instead = owed_past_allowance(decided, delivered) if event.loss_nanos else None
            if instead is None:
                return event
            return msgspec.structs.replace(event, past_allowance=_event(running, outcome, known, instead))
        except BaseException as error:
            # The tokenizer's panics are no Exception.
            if known is NO_FACTS or isinstance(error, _TASK_ENDS):
                raise
            log.critical("settlement.unpriced", request_id=running.order.id, error=repr(error), exc_info=True)
    raise AssertionError("the last try gives an event or raises")


def _is_beyond_model(running: Running, usage: Quantities) -> bool:
    """Whether usage names many times what fits into the model's context, for each choice: that is no usage of it."""
    found = running.found
    context_max = found.model.context_max
    if context_max is None:
        return False
    return usage.input_tokens + usage.output_tokens > _CONTEXTS_MAX * context_max * found.request.choices


def _event(running: Running, outcome: Outcome, facts: ReplyFacts, decided: Owed) -> UsageEvent:
    row, tier = _charged_row(running, facts.served_tier)
    parted = _parted(running, row, decided.usage)
    if parted is not decided.usage:
        decided = msgspec.structs.replace(decided, usage=parted)
    decided, price = _price(running, decided, row)
    nanos = min(price.nanos, running.granted_nanos)
    cost = _cost(running, tier, decided, row, price)
    if facts.absurd:
        decided = _quarantine(running, decided)
    charged = price if nanos == price.nanos else msgspec.structs.replace(price, nanos=nanos)
    order, quote, attempts = running.order, running.found.quote, running.attempts
    return UsageEvent(
        hold_id=order.id,
        organization_id=order.organization_id,
        mode=order.mode,
        outcome=outcome,
        status=attempts[-1].status or 0 if attempts else 0,
        deployment=_name(running.deployment),
        served_tier=tier._value_,  # a plain string: SQLite's module looks long for how to store any other
        price_version=quote.price_version,
        usage=decided.usage,
        usage_source=decided.source,
        predicted_input_tokens=quote.total.predicted,
        predicted_image_tokens=quote.image.predicted,
        charge_nanos=nanos,
        waived_nanos=price.nanos - nanos,
        cost_nanos=cost[0],
        loss_nanos=cost[1] + _lost_before(running, tier),
        charge=_encode({**charge_object(charged), "policy": decided.policy}),
        attempts=tuple(attempts),
        settled_at_us=running.world.clock.now_us(),
        latency_ms=running.elapsed_ms(),
        first_byte_ms=running.first_byte_ms,
    )


def receipt_of(event: UsageEvent) -> Receipt:
    """The charge fields a reply's usage object shows."""
    return Receipt(
        charge=format_usd(event.charge_nanos),
        charge_nanos=event.charge_nanos,
        request_id=event.hold_id,
        usage=event.usage,
    )


async def write(running: Running, event: UsageEvent) -> None:
    """Writes the settlement; when it returns it is durable. The ledger finishes what it was given, cancelled or not.

    A server that is being stopped waits for it all the same: the answer is whole and paid for, so it is given.
    """
    running.event = event
    running.world.calls.pop(event.hold_id, None)
    while True:
        try:
            return await running.world.storage.settle(event)
        except asyncio.CancelledError:
            if not running.world.stopping:
                raise


async def settle(running: Running, outcome: Outcome, facts: ReplyFacts, reply: StoredReply | None = None) -> None:
    """Prices and writes in one go, where the reply carries no charge; does nothing if the call is settled already.

    `reply` is what a repeat under the call's idempotency key gets.
    """

    async def work() -> None:
        running.world.calls.pop(running.order.id, None)
        if running.event is None:
            event = msgspec.structs.replace(await price_up(running, outcome, facts), reply=reply)
            running.event = event
            await running.world.storage.settle(event)

    await asyncio.shield(running.world.spawn(work()))


def _delivered(
    running: Running, outcome: Outcome, facts: ReplyFacts, reported: Quantities | None, output_tokens: int
) -> Delivered:
    quote = running.found.quote
    return Delivered(
        reported=reported,
        input=Quantities(input_tokens=quote.total.predicted, input_image_tokens=quote.image.predicted),
        output_tokens=output_tokens,
        accepted=running.sent if outcome in LEAVING else running.accepted,
        has_output=facts.has_output,
        finished=facts.finish_reason is not None,
        unheard=running.unheard,
        thinks=running.found.model.reasoning,
        on_cancel=running.on_cancel,
    )


async def _count_output(running: Running, text: str) -> int:
    counter = running.world.counter_for(running.found.encoding)
    if len(text) > _COUNT_ON_LOOP_CHARACTERS_MAX:
        # In slices: on a million blanks in one piece the tokenizer runs out of stack, and the hold would stay.
        tokens, _ = await asyncio.to_thread(count_sliced, text, counter)
    else:
        tokens = counter(text)
    return min(tokens, running.found.output_cap * running.found.request.choices)


def _charged_row(running: Running, served_tier: Tier | None) -> tuple[PriceRow, Tier]:
    """The row of the tier that was served; of the tier that was asked for when that has no row of its own."""
    found = running.found
    if running.deployment is None:
        return found.rows[0], found.tier
    if served_tier is None or served_tier is found.tier:
        if len(found.rows) == 1:
            return found.rows[0], found.tier
        served_tier = found.tier
    world, caller = running.world, running.caller
    where = (world, caller, found.model, running.deployment)
    try:
        return price_row(*where, served_tier, found.as_of, found.volume_nanos), served_tier
    except TesseraError:
        log.warning("tier.unpriced", request_id=running.order.id, tier=served_tier)
    return price_row(*where, found.tier, found.as_of, found.volume_nanos), found.tier


def _quarantine(running: Running, decided: Owed) -> Owed:
    """Marks a call whose provider's usage cannot be true for the operator, once."""
    if not running.quarantined:
        running.quarantined = True
        deployment = _name(running.deployment)
        running.world.quarantined[deployment] += 1
        log.error("usage.quarantined", request_id=running.order.id, deployment=deployment)
    return msgspec.structs.replace(decided, source=UsageSource.QUARANTINED)


def _price(running: Running, decided: Owed, row: PriceRow) -> tuple[Owed, Charge]:
    try:
        return decided, charge(row, decided.usage)
    except ValueError as error:
        # A provider's usage that contradicts itself is not money: our own count of the same call is.
        log.warning("usage.inconsistent", request_id=running.order.id, error=str(error))
        count = running.found.count
        own = Quantities(
            input_tokens=count.total.predicted,
            input_image_tokens=count.image.predicted,
            output_tokens=min(decided.usage.output_tokens, running.found.output_cap * running.found.request.choices),
        )
        return _quarantine(running, msgspec.structs.replace(decided, usage=own)), charge(row, own)


def _parted(running: Running, row: PriceRow, usage: Quantities) -> Quantities:
    """Usage with its image tokens named, where the row prices them apart. Hardly any provider names them: then they are
    those of our own count."""
    image = running.found.count.image.predicted
    if not image or usage.input_image_tokens or row.rates_for(usage.input_tokens).input_image is None:
        return usage
    return msgspec.structs.replace(usage, input_image_tokens=min(image, usage.input_tokens))


def _cost(running: Running, tier: Tier, decided: Owed, price_row: PriceRow, price: Charge) -> tuple[int, int]:
    """What the provider bills for this call, and how much of it no customer pays. Test calls cost nothing, nor does a
    model that neither the list nor the operator has a cost for."""
    if running.deployment is None or running.order.mode is Mode.TEST:
        return 0, 0
    try:
        row = running.world.prices.cost(
            running.found.model.id, tier, provider=running.deployment.provider, as_of=running.found.as_of
        )
    except TesseraError:
        return 0, 0
    lost = 0 if decided.lost is NOTHING else charge_nanos(row, _parted(running, row, decided.lost))
    if row.version == price_row.version:
        return price.nanos, lost
    return charge_nanos(row, _parted(running, row, decided.usage)), lost


def _lost_before(running: Running, tier: Tier) -> int:
    """What deployments that took the call and gave no answer may bill for its input; the customer never pays it."""
    total = 0
    if running.lost and running.order.mode is Mode.LIVE:
        count = running.found.count
        own = Quantities(input_tokens=count.total.predicted, input_image_tokens=count.image.predicted)
        for deployment in running.lost:
            try:
                row = running.world.prices.cost(
                    running.found.model.id, tier, provider=deployment.provider, as_of=running.found.as_of
                )
            except TesseraError:
                continue
            total += charge_nanos(row, own)
    return total


def _name(deployment: Deployment | None) -> str:
    return deployment.name if deployment else ""
