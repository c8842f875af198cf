"""Rules of keys as they are stored: with the key, under its signature, known to every process within seconds."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from ledger_calls import funded, hold_order
from tessera.adapters.storage.ledger.people import people_of
from tessera.adapters.storage.ledger.storage import LedgerStorage
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.key_rules import KeyRules
from tessera.domain.ledger.limits import Limits, SubjectKind
from tessera.domain.money import Mode
from tessera.domain.people.records import Act, Actor, ActorKind
from tessera.ports import Page
from tessera.ports.administration import ApiKey

pytestmark = pytest.mark.anyio

Opener = Callable[..., Awaitable[LedgerStorage]]
RULES = KeyRules(
    endpoints=("/v1/responses",), models=("gpt-4o",), ip_ranges=("192.0.2.0/24", "2001:db8::/32"), output_tokens_max=99
)
SEEN_SECONDS_MAX = 5


def actor(organization: str) -> Actor:
    return Actor(kind=ActorKind.OPERATOR, id="test", organization_id=organization)


async def made_key(storage: LedgerStorage, organization: str, rules: KeyRules | None) -> ApiKey:
    return await storage.create_key(
        organization, project="default", mode=Mode.LIVE, name="k", digest=b"d" * 32, display="sk-…", rules=rules
    )


async def test_rules_come_back_with_the_key_and_with_its_caller(storage: LedgerStorage) -> None:
    organization = await funded(storage, 1_000)
    key = await made_key(storage, organization, RULES)
    caller = await storage.find_caller(b"d" * 32)
    assert caller is not None
    assert key.rules == caller.rules == RULES
    (listed,) = await storage.list_keys(organization)
    assert (listed.rules, listed.last_used_at) == (RULES, None)
    order = hold_order(organization, 5, mode=Mode.LIVE, owner=storage.owner, key_id=key.id, project_id=key.project_id)
    await storage.hold(order)
    (listed,) = await storage.list_keys(organization)
    assert listed.last_used_at == order.placed_at_us // 1_000_000


async def test_a_rule_that_is_changed_past_the_ledger_is_found(storage: LedgerStorage) -> None:
    organization = await funded(storage, 1_000)
    key = await made_key(storage, organization, RULES)
    people = people_of(storage)

    async def wrong() -> list[str]:
        return [check.detail for check in await storage.verify() if not check.ok]

    async def write(rules: str | None) -> None:
        def work(connection: object, _: object) -> None:
            connection.execute("UPDATE api_key SET rules = ? WHERE id = ?", (rules, key.id))  # type: ignore[attr-defined]

        await storage._change(work)

    assert await wrong() == []
    for edited in (None, "{}", '{"endpoints":null,"models":null,"ip_ranges":null,"output_tokens_max":100}'):
        await write(edited)
        assert any(key.id in detail for detail in await wrong()), edited
    await people.set_api_key_rules(actor(organization), key.project_id, key.id, None)
    assert await wrong() == []
    await write('{"models":["gpt-4o"]}')
    assert any(key.id in detail for detail in await wrong())
    await write(None)
    revoked = await storage.revoke_key(key.id)
    assert revoked.rules is None


async def test_a_revoked_key_keeps_its_rules_and_its_signature(storage: LedgerStorage) -> None:
    organization = await funded(storage, 1_000)
    key = await made_key(storage, organization, RULES)
    assert (await storage.revoke_key(key.id)).rules == RULES


async def test_a_change_of_rules_is_seen_by_other_processes_within_five_seconds(opener: Opener, tmp_path: Path) -> None:
    first, second = await opener(tmp_path), await opener(tmp_path)
    try:
        organization = await funded(first, 1_000)
        key = await made_key(first, organization, None)
        for storage in (first, second):
            caller = await storage.find_caller(b"d" * 32)
            assert caller is not None
            assert caller.rules is None
        await people_of(first).set_api_key_rules(actor(organization), key.project_id, key.id, RULES)
        caller = await first.find_caller(b"d" * 32)
        assert caller is not None
        assert caller.rules == RULES
        for _ in range(SEEN_SECONDS_MAX * 20):
            caller = await second.find_caller(b"d" * 32)
            if caller is not None and caller.rules == RULES:
                break
            await asyncio.sleep(0.05)
        else:
            pytest.fail("the rules were not seen in time")
    finally:
        await second.close()
        await first.close()


async def test_limits_set_for_a_member_bind_the_next_call_and_are_in_the_audit_log(storage: LedgerStorage) -> None:
    organization, other = await funded(storage, 1_000), await funded(storage, 1_000)
    key = await made_key(storage, organization, None)
    people = people_of(storage)
    mine, theirs = actor(organization), actor(other)
    act = Act(actor=mine, action="limits.changed", object_id=key.id, details={"budget_total_nanos": 10})
    limits = Limits(budget_total_nanos=10)
    for stranger in (
        people.set_limits(
            Act(actor=theirs, action="limits.changed", object_id=key.id), None, SubjectKind.KEY, limits, key.project_id
        ),
        people.find_meter(other, None, SubjectKind.KEY, key.id, key.project_id),
        people.find_meter(other, Mode.LIVE, SubjectKind.PROJECT, key.project_id),
        people.set_api_key_rules(theirs, key.project_id, key.id, RULES),
    ):
        with pytest.raises(TesseraError) as caught:
            await stranger
        assert caught.value.code is ErrorCode.NOT_FOUND
    mode, meter = await people.set_limits(act, None, SubjectKind.KEY, limits, key.project_id)
    assert (mode, meter.limits) == (Mode.LIVE, limits)
    order = hold_order(organization, 11, mode=Mode.LIVE, owner=storage.owner, key_id=key.id, project_id=key.project_id)
    with pytest.raises(TesseraError) as caught:
        await storage.hold(order)
    assert caught.value.code is ErrorCode.BUDGET_EXCEEDED
    assert (await people.find_meter(organization, None, SubjectKind.KEY, key.id, key.project_id))[1].limits == limits
    events = await people.list_audit_events(organization, Page())
    (event,) = (one for one in events if one.action == "limits.changed")
    assert event.object_id == key.id
    assert event.details == {"budget_total_nanos": 10, "mode": "live"}
