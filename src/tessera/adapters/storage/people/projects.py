"""Projects and the keys in them, and the keys of administration."""

from typing import Any

import msgspec

from tessera.adapters.storage.ledger.accounts import KEYS, key_of, rules_text
from tessera.adapters.storage.people.audit_log import record
from tessera.adapters.storage.people.organizations import lock_open
from tessera.adapters.storage.people.steps import (
    NewKey,
    ReadMeter,
    RevokeKey,
    SetLimits,
    SetRules,
    Steps,
    Store,
    change,
    change_of_keys,
    first,
    read,
    rows,
)
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.key_rules import KeyRules
from tessera.domain.ledger.limits import NO_LIMITS, Limits, Meter, SubjectKind
from tessera.domain.money import Mode
from tessera.domain.people.records import Act, Actor, AdminKey, Project
from tessera.domain.people.roles import Role
from tessera.ports import Page
from tessera.ports.administration import ApiKey

PROJECTS_MAX = 1_000
KEYS_PER_PROJECT_MAX = 1_000

_PROJECT = "SELECT id, organization_id, name, created_at, archived_at FROM project"
_FIND_PROJECT = _PROJECT + " WHERE organization_id = $1 AND id = $2"
_LIST_PROJECTS = _PROJECT + " WHERE organization_id = $1 AND id > $2 AND archived_at IS NULL ORDER BY id LIMIT $3"
_LIST_ALL_PROJECTS = _PROJECT + " WHERE organization_id = $1 AND id > $2 ORDER BY id LIMIT $3"
_TAKEN = "SELECT id FROM project WHERE organization_id = $1 AND name = $2 AND id <> $3"
_COUNT = "SELECT count(*) FROM project WHERE organization_id = $1"
_INSERT_PROJECT = "INSERT INTO project (id, organization_id, name, created_at) VALUES ($1, $2, $3, $4)"
_RENAME = "UPDATE project SET name = $3 WHERE organization_id = $1 AND id = $2"
# Who changes a project, or makes a key in it, waits for who archives it on every engine, and then sees that it was.
_LOCK_PROJECT = """
UPDATE project SET name = name WHERE organization_id = $1 AND id = $2
RETURNING id, organization_id, name, created_at, archived_at
"""
_ARCHIVE = "UPDATE project SET archived_at = $3 WHERE organization_id = $1 AND id = $2 AND archived_at IS NULL"

_FIND_KEY = KEYS + " WHERE api_key.organization_id = $1 AND project_id = $2 AND api_key.id = $3"
_LIST_KEYS = (
    KEYS
    + """
WHERE api_key.organization_id = $1 AND project_id = $2 AND api_key.id > $3 ORDER BY api_key.id LIMIT $4
"""
)
_KEYS_ALIVE = """
SELECT id FROM api_key WHERE organization_id = $1 AND project_id = $2 AND (revoked_at IS NULL OR revoked_at > $3)
ORDER BY id
"""
# Who reads what a key has used, to decide on it, waits for who is placing a hold, and is waited for.
_LOCK_WALLET = "UPDATE wallet SET chain_seq = chain_seq WHERE organization_id = $1 AND mode = $2"
_ADD_MAKER = "INSERT INTO api_key_maker (api_key_id, person_id) VALUES ($1, $2)"

# What the maker is now: a maker who left the organization leaves no key behind that works.
_ADMIN_KEY = """
SELECT admin_key.id, admin_key.organization_id, admin_key.person_id, admin_key.name, display, membership.role,
    admin_key.created_at, expires_at, last_used_at, revoked_at
FROM admin_key LEFT JOIN membership ON membership.organization_id = admin_key.organization_id
    AND membership.person_id = admin_key.person_id
"""
_ALIVE = " AND revoked_at IS NULL AND (membership.role IS NOT NULL OR admin_key.person_id IS NULL)"
_FIND_CALLER = _ADMIN_KEY + " WHERE admin_key.digest = $1 AND (expires_at IS NULL OR expires_at > $2)" + _ALIVE
_FIND_ADMIN_KEY = _ADMIN_KEY + " WHERE admin_key.organization_id = $1 AND admin_key.id = $2" + _ALIVE
_LIST_ADMIN_KEYS = (
    _ADMIN_KEY
    + " WHERE admin_key.organization_id = $1 AND admin_key.id > $2"
    + _ALIVE
    + " ORDER BY admin_key.id LIMIT $3"
)
_LIST_NEWEST_ADMIN_KEYS = (
    _ADMIN_KEY
    + " WHERE admin_key.organization_id = $1 AND admin_key.id < $2"
    + _ALIVE
    + " ORDER BY admin_key.id DESC LIMIT $3"
)
_AFTER_ALL = "zzzz"
_INSERT_ADMIN_KEY = """
INSERT INTO admin_key (id, organization_id, person_id, name, digest, display, created_at, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
"""
_USED = "UPDATE admin_key SET last_used_at = $2 WHERE id = $1"
_REVOKE_ADMIN_KEY = """
UPDATE admin_key SET revoked_at = $3 WHERE organization_id = $1 AND id = $2 AND revoked_at IS NULL RETURNING id
"""


def _project_of(row: tuple[Any, ...]) -> Project:
    return Project(id=row[0], organization_id=row[1], name=row[2], created_at=row[3], archived_at=row[4])


def _admin_key_of(row: tuple[Any, ...]) -> AdminKey:
    return AdminKey(
        id=row[0],
        organization_id=row[1],
        person_id=row[2],
        name=row[3],
        display=row[4],
        role=Role.OWNER if row[2] is None else Role(row[5]),
        created_at=row[6],
        expires_at=row[7],
        last_used_at=row[8],
        revoked_at=row[9],
    )


class Projects(Store):
    """Projects, and the API keys in them. An archived project has no key that works, and takes no new one."""

    @read
    def list_projects(self, organization_id: str, page: Page, *, archived: bool) -> Steps[tuple[Project, ...]]:
        """Oldest first; with `archived`, archived ones too."""
        sql = _LIST_ALL_PROJECTS if archived else _LIST_PROJECTS
        found = yield from rows(sql, organization_id, page.after or "", page.limit)
        return tuple(_project_of(row) for row in found)

    @read
    def find_project(self, organization_id: str, project_id: str) -> Steps[Project | None]:
        """One project of an organization."""
        row = yield from first(_FIND_PROJECT, organization_id, project_id)
        return None if row is None else _project_of(row)

    @change
    def create_project(self, act: Act, name: str) -> Steps[Project]:
        """Raises [invalid_request] for a name taken, or too many projects."""
        where = act.where
        yield from _check_name(where, name, "")
        count = yield from first(_COUNT, where)
        if count is not None and count[0] >= PROJECTS_MAX:
            raise TesseraError(ErrorCode.INVALID_REQUEST, f"An organization has at most {PROJECTS_MAX} projects.")
        project_id = self.make_id("prj")
        yield from rows(_INSERT_PROJECT, project_id, where, name, self.now())
        yield from record(self, Act(actor=act.actor, action=act.action, object_id=project_id, details=act.details))
        return (yield from _project(where, project_id))

    @change
    def rename_project(self, act: Act, name: str) -> Steps[Project]:
        """Raises [invalid_request] for a name taken or an archived project, [not_found]."""
        yield from _live_project(act.where, act.object_id)
        yield from _check_name(act.where, name, act.object_id)
        yield from rows(_RENAME, act.where, act.object_id, name)
        yield from record(self, act)
        return (yield from _project(act.where, act.object_id))

    @change_of_keys
    def archive_project(self, act: Act) -> Steps[Project]:
        """Archives a project for good and revokes its keys; a second time changes nothing. Raises [not_found]."""
        project = yield from _project(act.where, act.object_id, lock=True)
        if project.archived_at is not None:
            return project
        now = self.now()
        keys = yield from rows(_KEYS_ALIVE, act.where, act.object_id, now)
        for key in keys:
            yield RevokeKey(key[0], now)
        yield from rows(_ARCHIVE, act.where, act.object_id, now)
        yield from record(self, act)
        return (yield from _project(act.where, act.object_id))

    # ---- keys of a project --------------------------------------------------------------------------------------

    @change_of_keys
    def create_api_key(
        self, actor: Actor, key: ApiKey, digest: bytes, *, in_place_of: str | None = None, old_ends_at: int = 0
    ) -> Steps[ApiKey]:
        """Stores a key; with `in_place_of`, that key of the same project ends at `old_ends_at`; both work until then.

        Raises [not_found] for the project or an old key that has ended, [invalid_request] for an archived project or
        too many keys.
        """
        if in_place_of is not None:
            # The organization, its wallet, then the project, as who deletes the organization locks them.
            yield from lock_open(key.organization_id)
            yield from rows(_LOCK_WALLET, key.organization_id, key.mode.value)
        project = yield from _live_project(key.organization_id, key.project_id)
        alive = yield from rows(_KEYS_ALIVE, project.organization_id, project.id, self.now())
        if len(alive) >= KEYS_PER_PROJECT_MAX:
            raise TesseraError(ErrorCode.INVALID_REQUEST, f"A project has at most {KEYS_PER_PROJECT_MAX} keys.")
        made: ApiKey = yield NewKey(key, digest)
        if key.revoked_at is not None:
            made = yield RevokeKey(made.id, key.revoked_at)
        if actor.person_id is not None:
            yield from rows(_ADD_MAKER, made.id, actor.person_id)
            made = msgspec.structs.replace(made, maker_id=actor.person_id)
        details = {
            "name": made.name,
            "mode": made.mode.value,
            "project": made.project_id,
            "ends_at": made.revoked_at,
            "rules": rules_text(made.rules),
        }
        if in_place_of is None:
            yield from record(self, Act(actor=actor, action="api_key.created", object_id=made.id, details=details))
            return made
        if (in_place_of,) not in [tuple(row[:1]) for row in alive]:
            raise TesseraError(ErrorCode.NOT_FOUND, "There is no such key that still works.")
        yield from _carry_limits(made, in_place_of, at_once=old_ends_at <= self.now())
        yield RevokeKey(in_place_of, old_ends_at)
        act = Act(
            actor=actor,
            action="api_key.rotated",
            object_id=in_place_of,
            details={**details, "new_id": made.id, "old_ends_at": old_ends_at},
        )
        yield from record(self, act)
        return made

    @read
    def list_api_keys(self, organization_id: str, project_id: str, page: Page) -> Steps[tuple[ApiKey, ...]]:
        """A project's keys, oldest first, ended ones too."""
        found = yield from rows(_LIST_KEYS, organization_id, project_id, page.after or "", page.limit)
        return tuple(key_of(row) for row in found)

    @read
    def find_api_key(self, organization_id: str, project_id: str, key_id: str) -> Steps[ApiKey | None]:
        """One key of a project."""
        row = yield from first(_FIND_KEY, organization_id, project_id, key_id)
        return None if row is None else key_of(row)

    @change_of_keys
    def end_api_key(self, act: Act, project_id: str) -> Steps[ApiKey | None]:
        """Revokes a key now and for good; a second time changes nothing. None if the project has no such key."""
        row = yield from first(_FIND_KEY, act.where, project_id, act.object_id)
        if row is None:
            return None
        key = key_of(row)
        now = self.now()
        if key.revoked_at is not None and key.revoked_at <= now:
            return key
        revoked: ApiKey = yield RevokeKey(key.id, now)
        yield from record(self, act)
        return revoked

    @change_of_keys
    def set_api_key_rules(self, actor: Actor, project_id: str, key_id: str, rules: KeyRules | None) -> Steps[ApiKey]:
        """Replaces what a key may be used for. Raises [not_found]."""
        yield from _key(actor.organization_id, project_id, key_id)
        made: ApiKey = yield SetRules(key_id, rules)
        details = {"rules": rules_text(rules)}
        yield from record(self, Act(actor=actor, action="api_key.rules_changed", object_id=key_id, details=details))
        return made

    # ---- limits -------------------------------------------------------------------------------------------------

    @read
    def find_meter(
        self, organization_id: str, mode: Mode | None, kind: SubjectKind, subject_id: str, project_id: str | None = None
    ) -> Steps[tuple[Mode, Meter]]:
        """What a subject has used, its limits, and in which mode: a key's own. Raises [not_found]."""
        mode = yield from _mode_of(organization_id, mode, kind, subject_id, project_id)
        meter: Meter = yield ReadMeter(organization_id, mode, kind, subject_id)
        return mode, meter

    @change
    def set_limits(
        self, act: Act, mode: Mode | None, kind: SubjectKind, limits: Limits, project_id: str | None = None
    ) -> Steps[tuple[Mode, Meter]]:
        """Replaces the limits of the act's object. Raises [not_found]."""
        mode = yield from _mode_of(act.where, mode, kind, act.object_id, project_id)
        meter: Meter = yield SetLimits(act.where, mode, kind, act.object_id, limits)
        yield from record(self, msgspec.structs.replace(act, details={**act.details, "mode": mode.value}))
        return mode, meter


class AdminKeys(Store):
    """Keys for administration: never more rights than their maker has now."""

    @read
    def find_admin_caller(self, digest: str) -> Steps[AdminKey | None]:
        """The key with this digest, if it works now."""
        row = yield from first(_FIND_CALLER, digest, self.now())
        return None if row is None else _admin_key_of(row)

    @change
    def use_admin_key(self, key_id: str) -> Steps[None]:
        """Notes that a key is in use."""
        yield from rows(_USED, key_id, self.now())

    @change
    def create_admin_key(self, act: Act, key: AdminKey, digest: str) -> Steps[AdminKey]:
        """Stores a key by its digest. Raises [not_found] when its maker is no member any more."""
        # Who removes its maker meanwhile has revoked it, or has removed them before.
        yield from lock_open(key.organization_id)
        times = (self.now(), key.expires_at)
        who = (key.organization_id, key.person_id, key.name)
        yield from rows(_INSERT_ADMIN_KEY, key.id, *who, digest, key.display, *times)
        yield from record(self, act)
        row = yield from first(_FIND_ADMIN_KEY, key.organization_id, key.id)
        if row is None:
            raise TesseraError(ErrorCode.NOT_FOUND, f"There is no organization {key.organization_id!r}.")
        return _admin_key_of(row)

    @read
    def list_admin_keys(
        self, organization_id: str, page: Page, *, newest_first: bool = False
    ) -> Steps[tuple[AdminKey, ...]]:
        """Keys that were not revoked, oldest first unless said."""
        sql, start = (_LIST_NEWEST_ADMIN_KEYS, _AFTER_ALL) if newest_first else (_LIST_ADMIN_KEYS, "")
        found = yield from rows(sql, organization_id, page.after or start, page.limit)
        return tuple(_admin_key_of(row) for row in found)

    @read
    def find_admin_key(self, organization_id: str, key_id: str) -> Steps[AdminKey | None]:
        """One key of an organization that was not revoked."""
        row = yield from first(_FIND_ADMIN_KEY, organization_id, key_id)
        return None if row is None else _admin_key_of(row)

    @change
    def revoke_admin_key(self, act: Act) -> Steps[bool]:
        """Revokes a key for good; False if there is none."""
        if (yield from first(_REVOKE_ADMIN_KEY, act.where, act.object_id, self.now())) is None:
            return False
        yield from record(self, act)
        return True


def _project(organization_id: str, project_id: str, *, lock: bool = False) -> Steps[Project]:
    row = yield from first(_LOCK_PROJECT if lock else _FIND_PROJECT, organization_id, project_id)
    if row is None:
        raise TesseraError(ErrorCode.NOT_FOUND, f"There is no project {project_id[:64]!r} in this organization.")
    return _project_of(row)


def _key(organization_id: str, project_id: str, key_id: str) -> Steps[ApiKey]:
    row = yield from first(_FIND_KEY, organization_id, project_id, key_id)
    if row is None:
        raise TesseraError(ErrorCode.NOT_FOUND, f"There is no key {key_id[:64]!r} in this project.")
    return key_of(row)


def _carry_limits(made: ApiKey, old_id: str, *, at_once: bool) -> Steps[None]:
    """Binds a new key as the one in whose place it is; of a total budget it gets what is neither charged nor held.

    Where the old key ends at once, it may run no more calls: one that it let in before may be held later. After the
    wallet was locked.
    """
    subjects = (made.organization_id, made.mode, SubjectKind.KEY)
    meter: Meter = yield ReadMeter(*subjects, old_id)
    limits, budget = meter.limits, meter.limits.budget_total_nanos
    if limits == NO_LIMITS:
        return
    if budget is not None:
        if at_once:
            yield SetLimits(*subjects, old_id, msgspec.structs.replace(limits, concurrent_max=0))
        left = max(0, budget - meter.spent_nanos - meter.held_nanos)
        limits = msgspec.structs.replace(limits, budget_total_nanos=left)
    yield SetLimits(*subjects, made.id, limits)


def _mode_of(
    organization_id: str, mode: Mode | None, kind: SubjectKind, subject_id: str, project_id: str | None
) -> Steps[Mode]:
    """The mode whose meter is meant, of a subject that is the organization's."""
    if kind is SubjectKind.KEY:
        key = yield from _key(organization_id, project_id or "", subject_id)
        return key.mode
    if kind is SubjectKind.PROJECT:
        yield from _project(organization_id, subject_id)
    assert mode is not None
    return mode


def _live_project(organization_id: str, project_id: str) -> Steps[Project]:
    project = yield from _project(organization_id, project_id, lock=True)
    if project.archived_at is not None:
        raise TesseraError(ErrorCode.INVALID_REQUEST, f"The project {project.name!r} is archived.")
    return project


def _check_name(organization_id: str, name: str, project_id: str) -> Steps[None]:
    if (yield from first(_TAKEN, organization_id, name, project_id)) is not None:
        raise TesseraError(ErrorCode.INVALID_REQUEST, f"There is a project named {name!r} already.", param="name")
