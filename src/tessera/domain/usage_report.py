"""What a report of usage asks for and gives: exact sums by time and by what calls are told apart by."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

import msgspec

from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.money import Mode
from tessera.domain.quantities import Quantities

TIME_MAX = 2**40
"""Seconds since 1970 beyond every time that is asked for."""


class Width(StrEnum):
    """How much time one bucket covers, from a whole minute, hour or day (UTC) on."""

    MINUTE = "1m"
    HOUR = "1h"
    DAY = "1d"

    @property
    def seconds(self) -> int:
        """The same in seconds."""
        return _SECONDS[self]


_SECONDS = {Width.MINUTE: 60, Width.HOUR: 3600, Width.DAY: 86400}


class Dimension(StrEnum):
    """What calls can be told apart by. A key's member is who made it; keys of the operator's commands have none."""

    MODEL = "model"
    PROJECT = "project"
    KEY = "key"
    MEMBER = "member"
    TIER = "tier"
    ENDPOINT = "endpoint"


class UsageQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Buckets that begin in [start_at, end_at), seconds since 1970, each told apart `by` some dimensions.

    `only` keeps calls whose dimension has one of these values, `without` those whose has none of them.
    """

    organization_id: str
    mode: Mode
    width: Width
    start_at: int
    end_at: int
    by: tuple[Dimension, ...] = ()
    only: Mapping[Dimension, tuple[str, ...]] = {}
    without: Mapping[Dimension, tuple[str, ...]] = {}


class UsageSums(msgspec.Struct, frozen=True, kw_only=True):
    """The exact sums of one group of calls in one bucket; `group` has one value for each dimension asked for."""

    start_at: int
    group: tuple[str | None, ...]
    requests: int
    usage: Quantities
    charge_nanos: int
    cost_nanos: int


class UsedCall(msgspec.Struct, frozen=True, kw_only=True):
    """One settled call, as an export lists it; times are microseconds since 1970."""

    request_id: str
    mode: Mode
    project_id: str
    key_id: str
    member_id: str | None
    model: str
    endpoint: str
    tier: str
    outcome: str
    status: int
    deployment: str
    usage: Quantities
    usage_source: str
    charge_nanos: int
    waived_nanos: int
    placed_at_us: int
    settled_at_us: int
    latency_ms: int


def bucket_start(at: int, width: Width) -> int:
    """The start of the bucket that a time lies in."""
    return at - at % width.seconds


def buckets_of(start_at: int, end_at: int | None, now: int, width: Width) -> tuple[int, int]:
    """The starts of the first bucket of a time span and of the one after its last; without an end, up to now.

    Raises [invalid_request] for a span that ends before it begins.
    """
    last = now + 1 if end_at is None else end_at
    if end_at is not None and end_at <= start_at:
        raise TesseraError(ErrorCode.INVALID_REQUEST, "end_time must be later than start_time.", param="end_time")
    first = bucket_start(start_at, width)
    return first, max(first, -(-last // width.seconds) * width.seconds)


class CallMoved(msgspec.Struct, frozen=True, kw_only=True):
    """A call that was held or ended, at its place `seq` in the wallet's chain of movements.

    What is known only at the end (`outcome` and what follows) is empty for a call that was held. `at_us` is when.
    """

    seq: int
    ended: bool
    at_us: int
    request_id: str
    project_id: str
    key_id: str
    model: str
    endpoint: str
    stream: bool
    held_nanos: int
    outcome: str = ""
    status: int = 0
    deployment: str = ""
    tier: str = ""
    usage: Quantities = Quantities()
    charge_nanos: int = 0
    latency_ms: int = 0
    first_byte_ms: int | None = None


class AlertRaised(msgspec.Struct, frozen=True, kw_only=True):
    """An alert that was raised after the movement `seq` of its wallet's chain and before the next one.

    `number` counts from 1 among those of the same place. `created_at` is seconds since 1970, `data` what receivers get.
    """

    seq: int
    number: int
    notice_id: str
    created_at: int
    data: Mapping[str, Any]


class Movements(msgspec.Struct, frozen=True, kw_only=True):
    """What moved in a wallet after a place in its chain, in order, up to `seq`; `missed` more could not be found.

    `alerts` were raised meanwhile, the last of all at `seq` has the number `alert_number`, or 0. `open_ids` are the
    calls that are held now, the money is the wallet's own at `seq`.
    """

    seq: int
    alert_number: int = 0
    calls: tuple[CallMoved, ...]
    alerts: tuple[AlertRaised, ...] = ()
    missed: int
    open_ids: tuple[str, ...]
    available_nanos: int
    held_nanos: int
