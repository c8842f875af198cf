"""The audit log: one signed hash chain per organization, and one for the installation. Only ever appended to."""

import hashlib
import hmac
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec

from tessera.adapters.storage.people.steps import Recorder, Steps, Store, Value, among, first, read, rows
from tessera.domain.people.records import ALL_EVENTS, Act, ActorKind, AuditEvent, AuditFilter
from tessera.ports import Page

_START = "0" * 64
_NEWEST = "zzzz"

_TAKE_HEAD = """
INSERT INTO audit_head (scope, seq, link) VALUES ($1, 1, $2)
ON CONFLICT (scope) DO UPDATE SET seq = audit_head.seq + 1 RETURNING seq, link
"""
_SET_HEAD = "UPDATE audit_head SET link = $2 WHERE scope = $1"
_INSERT = """
INSERT INTO audit_event (
    scope, seq, id, actor_kind, actor_id, action, object_id, details, details_digest, created_at, link
) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
"""
_LIST = """
SELECT id, scope, actor_kind, actor_id, action, object_id, details, created_at FROM audit_event
WHERE scope = $1 AND id < $2{only} ORDER BY id DESC LIMIT $3
"""
_CHAIN = """
SELECT scope, seq, id, actor_kind, actor_id, action, object_id, details_digest, created_at, link, details
FROM audit_event ORDER BY scope, seq
"""
_HEADS = "SELECT scope, seq, link FROM audit_head ORDER BY scope"


class AuditLog(Store):
    """Reads the log; everything that changes something writes to it through `record`."""

    @read
    def list_audit_events(
        self, scope: str, page: Page, wanted: AuditFilter = ALL_EVENTS
    ) -> Steps[tuple[AuditEvent, ...]]:
        """An organization's events, newest first."""
        values: list[Value] = [scope, page.after or _NEWEST, page.limit]
        only = ""
        for column, named in (
            ("action", wanted.actions),
            ("actor_id", wanted.actor_ids),
            ("object_id", wanted.object_ids),
        ):
            only += among(column, named, len(values) + 1)
            values += named
        if wanted.start_at is not None:
            values.append(wanted.start_at)
            only += f" AND created_at >= ${len(values)}"
        if wanted.end_at is not None:
            values.append(wanted.end_at)
            only += f" AND created_at < ${len(values)}"
        found = yield from rows(_LIST.format(only=only), *values)
        return tuple(
            AuditEvent(
                id=row[0],
                scope=row[1],
                actor_kind=ActorKind(row[2]),
                actor_id=row[3],
                action=row[4],
                object_id=row[5],
                details=None if row[6] is None else msgspec.json.decode(row[6]),
                created_at=row[7],
            )
            for row in found
        )


def record(store: Recorder, act: Act) -> Steps[None]:
    """Appends one act to its chain, in the commit it is part of."""
    taken = yield from first(_TAKE_HEAD, act.where, _START)
    assert taken is not None
    seq, previous = taken
    details = msgspec.json.encode({**act.details, **({"address": act.actor.address} if act.actor.address else {})})
    digest = hashlib.sha256(details).hexdigest()
    event_id, now = store.make_id("audit"), store.now()
    signed = (act.where, seq, event_id, act.actor.kind.value, act.actor.id, act.action, act.object_id, digest, now)
    link = _link(store.signing_key, previous, signed)
    yield from rows(_INSERT, *signed[:7], details.decode(), digest, now, link)
    yield from rows(_SET_HEAD, act.where, link)


def _link(key: bytes, previous: str, signed: tuple[str | int, ...]) -> str:
    """HMAC over the link before and the event: without the key nobody can write a chain that fits."""
    return hmac.digest(key, msgspec.msgpack.encode(("audit", previous, signed)), "sha256").hex()


def audit_log_faults(key: bytes, read_rows: Callable[[str], Iterable[tuple[Any, ...]]]) -> Iterator[str]:
    """What is wrong with the log, for an audit: edited, missing or cut-off events, by their number."""
    ends: dict[str, tuple[int, str]] = {}
    for row in read_rows(_CHAIN):
        scope, seq, link, details = row[0], row[1], row[9], row[10]
        last_seq, last_link = ends.get(scope, (0, _START))
        if seq != last_seq + 1:
            yield f"{scope}: event {last_seq + 1} is missing"
        elif link != _link(key, last_link, row[:9]):
            yield f"{scope}: event {seq} ({row[2]}) was changed"
        if details is not None and hashlib.sha256(details.encode()).hexdigest() != row[7]:
            yield f"{scope}: the details of event {seq} ({row[2]}) were changed"
        ends[scope] = (seq, link)
    heads = {row[0]: (row[1], row[2]) for row in read_rows(_HEADS)}
    for scope in sorted({*heads, *ends}):
        if heads.get(scope) != ends.get(scope):
            yield f"{scope}: the log does not end where its head says"
