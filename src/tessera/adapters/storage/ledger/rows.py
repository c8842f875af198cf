"""How orders and events become rows and come back: the one place that knows the order of columns.

Values are what the hash chain covers: every column that is written once, in the order of the table.
"""

from typing import Any

import msgspec

from tessera.domain.ledger.chain import Value
from tessera.domain.ledger.holds import Placed
from tessera.domain.ledger.orders import HoldOrder, Outcome
from tessera.domain.ledger.wallet import Draw
from tessera.domain.money import Mode
from tessera.domain.quantities import Quantities
from tessera.domain.usage import Attempt, UsageEvent, UsageSource

HOLD_VALUES = 17
EVENT_VALUES = 25

INSERT_HOLD = """
INSERT INTO hold (
    number, id, wallet_id, project_id, key_id, amount_nanos, asked_nanos, asked_min_nanos, draws, idempotency_key,
    fingerprint, endpoint, model, stream, owner, placed_at_us, chain_seq, chain_link
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""

INSERT_QUOTE = "INSERT INTO hold_quote (hold_number, quote) VALUES (?, ?)"

INSERT_EVENT = """
INSERT INTO usage_event (
    hold_number, outcome, status, deployment, served_tier, price_version, input_tokens, cached_input_tokens,
    cache_write_tokens, input_image_tokens, output_tokens, reasoning_tokens, output_image_tokens, usage_source,
    predicted_input_tokens, predicted_image_tokens, charge_nanos, waived_nanos, cost_nanos, loss_nanos, charge,
    attempts, settled_at_us, latency_ms, first_byte_ms, chain_seq, chain_link
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""

SELECT_EVENT = """
SELECT hold_number, outcome, status, deployment, served_tier, price_version, input_tokens, cached_input_tokens,
    cache_write_tokens, input_image_tokens, output_tokens, reasoning_tokens, output_image_tokens, usage_source,
    predicted_input_tokens, predicted_image_tokens, charge_nanos, waived_nanos, cost_nanos, loss_nanos, charge,
    attempts, settled_at_us, latency_ms, first_byte_ms
FROM usage_event WHERE hold_number = ?
"""

_encode = msgspec.json.Encoder().encode
_decode_draws = msgspec.json.Decoder(tuple[Draw, ...]).decode
_decode_attempts = msgspec.json.Decoder(tuple[Attempt, ...]).decode


def hold_values(order: HoldOrder, number: int, wallet_id: int, placed: Placed) -> tuple[Value, ...]:
    """The row of a granted hold, without its link; last the quote, which is stored apart."""
    return (
        number,
        order.id,
        wallet_id,
        order.project_id,
        order.key_id,
        placed.amount_nanos,
        order.amount_nanos,
        order.amount_min_nanos,
        encode_draws(placed.draws),
        order.idempotency_key,
        order.fingerprint,
        order.endpoint,
        order.model,
        1 if order.stream else 0,
        order.owner,
        order.placed_at_us,
        order.quote,
    )


def event_values(event: UsageEvent, number: int) -> tuple[Value, ...]:
    """The row of a usage event, without its link.

    `_value_` is what `value` gives by two calls of Python functions, and this runs once a call.
    """
    usage = event.usage
    return (
        number,
        event.outcome._value_,
        event.status,
        event.deployment,
        event.served_tier,
        event.price_version,
        usage.input_tokens,
        usage.cached_input_tokens,
        usage.cache_write_tokens,
        usage.input_image_tokens,
        usage.output_tokens,
        usage.reasoning_tokens,
        usage.output_image_tokens,
        event.usage_source._value_,
        event.predicted_input_tokens,
        event.predicted_image_tokens,
        event.charge_nanos,
        event.waived_nanos,
        event.cost_nanos,
        event.loss_nanos,
        event.charge,
        _encode(event.attempts),
        event.settled_at_us,
        event.latency_ms,
        event.first_byte_ms,
    )


def read_order(row: tuple[Any, ...], organization_id: str, mode: Mode) -> HoldOrder:
    """The order behind a hold's row of values."""
    return HoldOrder(
        id=row[1],
        organization_id=organization_id,
        project_id=row[3],
        key_id=row[4],
        mode=mode,
        amount_nanos=row[6],
        amount_min_nanos=row[7],
        idempotency_key=row[9],
        fingerprint=row[10],
        endpoint=row[11],
        model=row[12],
        stream=bool(row[13]),
        owner=row[14],
        placed_at_us=row[15],
        quote=row[16],
    )


def read_event(row: tuple[Any, ...], hold_id: str, organization_id: str, mode: Mode) -> UsageEvent:
    """The event behind its row of values; a reply kept for an idempotency key is not part of it."""
    return UsageEvent(
        hold_id=hold_id,
        organization_id=organization_id,
        mode=mode,
        outcome=Outcome(row[1]),
        status=row[2],
        deployment=row[3],
        served_tier=row[4],
        price_version=row[5],
        usage=Quantities(
            input_tokens=row[6],
            cached_input_tokens=row[7],
            cache_write_tokens=row[8],
            input_image_tokens=row[9],
            output_tokens=row[10],
            reasoning_tokens=row[11],
            output_image_tokens=row[12],
        ),
        usage_source=UsageSource(row[13]),
        predicted_input_tokens=row[14],
        predicted_image_tokens=row[15],
        charge_nanos=row[16],
        waived_nanos=row[17],
        cost_nanos=row[18],
        loss_nanos=row[19],
        charge=row[20],
        attempts=_decode_attempts(row[21]),
        settled_at_us=row[22],
        latency_ms=row[23],
        first_byte_ms=row[24],
    )


def encode_draws(draws: tuple[Draw, ...]) -> str:
    """Draws as the JSON text the column holds: `[["lot_…",5000]]`."""
    return _encode(draws).decode()


def decode_draws(text: str) -> tuple[Draw, ...]:
    """Draws out of the column."""
    return _decode_draws(text)
