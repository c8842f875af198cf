"""Organizations, projects, keys and credit."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from ledger_calls import funded, hold_order, usage_event
from tessera.adapters.storage.ledger.people import people_of
from tessera.adapters.storage.ledger.storage import LedgerStorage
from tessera.domain.auth import Caller
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.ledger.limits import Limits, SubjectKind
from tessera.domain.money import Mode
from tessera.ports import Page
from tessera.ports.administration import ApiKey

pytestmark = pytest.mark.anyio

NOW = hold_order("", 0).placed_at_us // 1_000_000


async def new_key(storage: LedgerStorage, organization: str, digest: bytes, mode: Mode = Mode.TEST) -> ApiKey:
    return await storage.create_key(
        organization, project="default", mode=mode, name="k", digest=digest, display="sk-tess-test-Ab3d…wxyz"
    )


@pytest.mark.parametrize("name", ["", " ", "a" * 201, "a\nb", "\x00"])
async def test_a_bad_name_is_refused(storage: LedgerStorage, name: str) -> None:
    with pytest.raises(TesseraError) as caught:
        await storage.create_organization(name)
    assert caught.value.code is ErrorCode.INVALID_REQUEST
    assert await storage.list_organizations() == ()


async def test_a_taken_name_is_refused(storage: LedgerStorage) -> None:
    await storage.create_organization("acme")
    with pytest.raises(TesseraError) as caught:
        await storage.create_organization("acme")
    assert caught.value.code is ErrorCode.INVALID_REQUEST
    assert len(await storage.list_organizations()) == 1


async def test_a_new_organization_has_a_hundred_dollars_of_test_credit_and_no_live_money(
    storage: LedgerStorage,
) -> None:
    organization = await storage.create_organization("acme")
    test = await storage.balance(organization.id, Mode.TEST)
    live = await storage.balance(organization.id, Mode.LIVE)
    assert (test.available_nanos, [lot.kind for lot in test.lots]) == (100 * 10**9, ["promotion"])
    assert (live.available_nanos, live.lots) == (0, ())
    entries = await storage.list_entries(organization.id, Mode.TEST, Page())
    assert {entry.account: entry.amount_nanos for entry in entries} == {
        "available": 100 * 10**9,
        "promotions": -100 * 10**9,
    }


async def test_an_organization_is_found_by_name_and_by_id(storage: LedgerStorage) -> None:
    organization = await storage.create_organization("acme")
    assert await storage.find_organization("acme") == organization
    assert await storage.find_organization(organization.id) == organization
    with pytest.raises(TesseraError) as caught:
        await storage.find_organization("nobody")
    assert caught.value.code is ErrorCode.NOT_FOUND


async def test_an_unknown_key_is_nobody(storage: LedgerStorage) -> None:
    assert await storage.find_caller(b"x" * 32) is None


async def test_a_key_finds_its_caller_until_it_is_revoked(storage: LedgerStorage) -> None:
    organization = await funded(storage, 0)
    key = await new_key(storage, organization, b"d" * 32)
    caller = Caller(
        organization_id=organization,
        project_id=key.project_id,
        key_id=key.id,
        mode=Mode.TEST,
        organization=(await storage.find_organization(organization)).name,
    )
    assert await storage.find_caller(b"d" * 32) == caller
    assert await storage.find_caller(b"d" * 32) == caller
    revoked = await storage.revoke_key(key.id)
    assert revoked.revoked_at is not None
    assert await storage.find_caller(b"d" * 32) is None
    assert await storage.revoke_key(key.id) == revoked
    assert await storage.find_cut_keys((key.id, "key_nothing")) == frozenset()
    assert await storage.revoke_key(key.id, cut=True) == revoked
    assert await storage.find_cut_keys((key.id, "key_nothing")) == {key.id}
    assert await storage.find_cut_keys(()) == frozenset()
    assert await storage.list_keys(organization) == (revoked,)


async def test_t20_keys_that_share_all_but_the_last_byte_of_their_digest_never_meet(storage: LedgerStorage) -> None:
    one, other = await funded(storage, 0), await funded(storage, 0)
    await new_key(storage, one, b"d" * 31 + b"1")
    await new_key(storage, other, b"d" * 31 + b"2")
    first, second = await storage.find_caller(b"d" * 31 + b"1"), await storage.find_caller(b"d" * 31 + b"2")
    assert first is not None
    assert second is not None
    assert (first.organization_id, second.organization_id) == (one, other)
    assert await storage.find_caller(b"d" * 31) is None


async def test_a_digest_is_stored_once(storage: LedgerStorage) -> None:
    organization = await funded(storage, 0)
    await new_key(storage, organization, b"d" * 32)
    with pytest.raises(TesseraError):
        await new_key(storage, organization, b"d" * 32)
    assert len(await storage.list_keys(organization)) == 1


async def test_a_key_makes_its_project_once(storage: LedgerStorage) -> None:
    organization = await funded(storage, 0)
    keys = [
        await storage.create_key(
            organization, project=project, mode=Mode.LIVE, name="", digest=bytes([number]) * 32, display="sk"
        )
        for number, project in enumerate(["shop", "shop", "default"])
    ]
    assert keys[0].project_id == keys[1].project_id != keys[2].project_id
    assert set(await storage.list_keys(organization)) == set(keys)


async def test_a_key_names_its_project_by_id_too_and_makes_none_that_is_named_like_one(storage: LedgerStorage) -> None:
    organization = await funded(storage, 0)
    first = await new_key(storage, organization, b"a" * 32)

    async def of(project: str, digest: bytes) -> ApiKey:
        return await storage.create_key(
            organization, project=project, mode=Mode.TEST, name="", digest=digest, display="sk"
        )

    second = await of(first.project_id, b"b" * 32)
    assert (second.project_id, second.project) == (first.project_id, "default")
    with pytest.raises(TesseraError) as caught:
        await of("prj_01a22d733101c2cda0983b24e513a8d2", b"c" * 32)
    assert caught.value.code is ErrorCode.INVALID_REQUEST
    assert {key.project for key in await storage.list_keys(organization)} == {"default"}


async def test_a_key_for_nobody_or_an_unknown_key_is_not_found(storage: LedgerStorage) -> None:
    with pytest.raises(TesseraError) as caught:
        await new_key(storage, "org_nobody", b"d" * 32)
    assert caught.value.code is ErrorCode.NOT_FOUND
    with pytest.raises(TesseraError) as caught:
        await storage.revoke_key("key_nothing")
    assert caught.value.code is ErrorCode.NOT_FOUND


@pytest.mark.parametrize(
    ("amount", "kind", "expires_at"),
    [(0, "manual", None), (-1, "manual", None), (1, "gift", None), (1, "manual", 1), (2**61 + 1, "manual", None)],
)
async def test_credit_that_makes_no_sense_is_refused(
    storage: LedgerStorage, amount: int, kind: str, expires_at: int | None
) -> None:
    organization = await funded(storage, 0)
    with pytest.raises(TesseraError) as caught:
        await storage.add_credit(organization, Mode.LIVE, amount, kind=kind, note="", expires_at=expires_at)
    assert caught.value.code is ErrorCode.INVALID_REQUEST
    assert (await storage.balance(organization, Mode.LIVE)).lots == ()


async def test_credit_for_nobody_is_not_found(storage: LedgerStorage) -> None:
    with pytest.raises(TesseraError) as caught:
        await storage.add_credit("org_nobody", Mode.LIVE, 1, kind="manual", note="")
    assert caught.value.code is ErrorCode.NOT_FOUND


@pytest.mark.parametrize(("kind", "source"), [("manual", "cash"), ("purchase", "cash"), ("promotion", "promotions")])
async def test_credit_is_a_lot_and_a_transfer(storage: LedgerStorage, kind: str, source: str) -> None:
    organization = await funded(storage, 0)
    lot = await storage.add_credit(organization, Mode.LIVE, 5, kind=kind, note="hello", expires_at=NOW + 3600)
    balance = await storage.balance(organization, Mode.LIVE)
    assert (balance.available_nanos, balance.lots) == (5, (lot,))
    to_entry, from_entry = await storage.list_entries(organization, Mode.LIVE, Page())
    assert (from_entry.account, from_entry.amount_nanos, from_entry.note) == (source, -5, "hello")
    assert (to_entry.account, to_entry.amount_nanos, to_entry.kind) == ("available", 5, kind)


async def test_usage_is_summed_by_mode_and_model(storage: LedgerStorage) -> None:
    organization, other = await funded(storage, 1000), await funded(storage, 1000)
    for owner, model, charge in (
        (organization, "a", 5),
        (organization, "a", 7),
        (organization, "b", 1),
        (other, "a", 9),
    ):
        order = hold_order(owner, 100, mode=Mode.LIVE, model=model)
        await storage.hold(order)
        await storage.settle(usage_event(order, charge))
    rows = {row.model: row for row in await storage.usage(organization)}
    assert sorted(rows) == ["a", "b"]
    assert (rows["a"].calls, rows["a"].charge_nanos, rows["a"].cost_nanos) == (2, 12, 6)
    assert rows["a"].usage.input_tokens == 12
    assert rows["b"].mode is Mode.LIVE


async def test_a_revoked_key_stays_revoked_when_the_clock_is_set_back(
    opener: Callable[..., Awaitable[LedgerStorage]], tmp_path: Path
) -> None:
    now = [1_800_000_000_000_000]
    storage = await opener(tmp_path, clock=lambda: now[0])
    organization = await storage.create_organization("acme")
    key = await storage.create_key(
        organization.id, project="default", mode=Mode.LIVE, name="", digest=b"d" * 32, display="…"
    )
    assert await storage.find_caller(b"d" * 32) is not None
    await storage.revoke_key(key.id)
    now[0] -= 3600 * 1_000_000
    assert await storage.find_caller(b"d" * 32) is None
    wrong = [check for check in await storage.verify() if not check.ok]
    await storage.close()
    assert wrong == []


async def test_what_the_operator_does_by_command_is_in_the_audit_log(storage: LedgerStorage) -> None:
    made = await storage.create_organization("acme")
    key = await storage.create_key(
        made.id, project="shop", mode=Mode.LIVE, name="till", digest=bytes(32), display="sk-…"
    )
    limits = Limits(budget_month_nanos=5, requests_per_minute=7)
    await storage.set_limits(made.id, Mode.LIVE, SubjectKind.KEY, key.id, limits)
    lot = await storage.add_credit(made.id, Mode.LIVE, 9, kind="manual", note="")
    await storage.revoke_key(key.id, cut=True)
    await storage.suspend_organization(made.id)
    await storage.resume_organization(made.id)
    events = await people_of(storage).list_audit_events(made.id, Page())
    assert {(event.actor_kind.value, event.actor_id) for event in events} == {("operator", "operator")}
    assert {event.action: (event.object_id, event.details) for event in events} == {
        "organization.created": (made.id, {"name": "acme"}),
        "api_key.created": (
            key.id,
            {"name": "till", "mode": "live", "project": key.project_id, "ends_at": None, "rules": None},
        ),
        "limits.changed": (
            key.id,
            {"kind": "key", "mode": "live", "budget_month_nanos": 5, "requests_per_minute": 7},
        ),
        "credit.added": (lot.id, {"mode": "live", "kind": "manual", "amount_nanos": 9, "expires_at": None}),
        "api_key.revoked": (key.id, {"cut": True}),
        "organization.suspended": (made.id, {}),
        "organization.resumed": (made.id, {}),
    }
    with pytest.raises(TesseraError):
        await storage.add_credit(made.id, Mode.LIVE, 0, kind="manual", note="")
    assert len(await people_of(storage).list_audit_events(made.id, Page())) == len(events)
