"""Projects and the API keys in them, in OpenAI's shapes. A key is shown once."""

from typing import Any

import msgspec

from tessera.domain.auth import make_key
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.key_rules import KeyRules, made_rules
from tessera.domain.money import Mode
from tessera.domain.people.records import Act, Actor, Project
from tessera.domain.people.rules import normal_name, normal_project_name
from tessera.flows.people.accounts import Accounts
from tessera.flows.receipts import list_object, page_after
from tessera.ports import Page
from tessera.ports.administration import ApiKey

KEY_SECONDS_MAX = 10 * 366 * 24 * 3600
_RANDOM_BYTES = 32
_SHOWN_START, _SHOWN_END = 16, 4


async def list_projects(accounts: Accounts, actor: Actor, page: Page, *, archived: bool) -> dict[str, Any]:
    """Projects, oldest first, a page at a time."""
    more = page_after(page, "prj")
    found = await accounts.people.list_projects(actor.organization_id, more, archived=archived)
    return list_object([project_object(project) for project in found], page)


async def show_project(accounts: Accounts, actor: Actor, project_id: str) -> dict[str, Any]:
    """One project. Raises [not_found]."""
    return project_object(await _project(accounts, actor, project_id))


async def create_project(accounts: Accounts, actor: Actor, name: str) -> dict[str, Any]:
    """A new project. Raises [invalid_request]."""
    name = normal_project_name(name)
    act = Act(actor=actor, action="project.created", object_id="", details={"name": name})
    return project_object(await accounts.people.create_project(act, name))


async def rename_project(accounts: Accounts, actor: Actor, project_id: str, name: str) -> dict[str, Any]:
    """Gives a project another name. Raises [invalid_request, not_found]."""
    name = normal_project_name(name)
    act = Act(actor=actor, action="project.renamed", object_id=project_id, details={"name": name})
    return project_object(await accounts.people.rename_project(act, name))


async def archive_project(accounts: Accounts, actor: Actor, project_id: str) -> dict[str, Any]:
    """Archives a project for good: its keys stop working. Raises [not_found]."""
    act = Act(actor=actor, action="project.archived", object_id=project_id)
    return project_object(await accounts.people.archive_project(act))


# ---- API keys ----------------------------------------------------------------------------------------------------


async def list_keys(accounts: Accounts, actor: Actor, project_id: str, page: Page) -> dict[str, Any]:
    """A project's keys, oldest first, ended ones too. Raises [not_found]."""
    await _project(accounts, actor, project_id)
    more = page_after(page, "key")
    found = await accounts.people.list_api_keys(actor.organization_id, project_id, more)
    return list_object([await _shown(accounts, key) for key in found], page)


async def show_key(accounts: Accounts, actor: Actor, project_id: str, key_id: str) -> dict[str, Any]:
    """One key of a project, never its secret. Raises [not_found]."""
    return await _shown(accounts, await _key(accounts, actor, project_id, key_id))


async def create_key(
    accounts: Accounts,
    actor: Actor,
    project_id: str,
    *,
    name: str,
    mode: str,
    expires_at: int | None,
    rules: KeyRules | None = None,
) -> dict[str, Any]:
    """A new key, with its secret, shown this once. Raises [invalid_request, not_found]."""
    project = await _project(accounts, actor, project_id)
    if expires_at is not None and not accounts.now() < expires_at <= accounts.now() + KEY_SECONDS_MAX:
        raise TesseraError(
            ErrorCode.INVALID_REQUEST, "expires_at must be a time in the next ten years.", param="expires_at"
        )
    name = normal_name(name) if name else ""
    return await _issue(accounts, actor, project, name, _mode(mode), expires_at, _checked(accounts, rules))


async def change_rules(
    accounts: Accounts, actor: Actor, project_id: str, key_id: str, rules: KeyRules
) -> dict[str, Any]:
    """Replaces what a key may be used for. Raises [invalid_request, not_found]."""
    made = await accounts.people.set_api_key_rules(actor, project_id, key_id, _checked(accounts, rules))
    return await _shown(accounts, made)


async def rotate_key(
    accounts: Accounts, actor: Actor, project_id: str, key_id: str, *, overlap_seconds: int
) -> dict[str, Any]:
    """A new key like an old one, which works on for the overlap. Raises [invalid_request, not_found]."""
    if not 0 <= overlap_seconds <= accounts.limits.rotation_overlap_s_max:
        raise TesseraError(
            ErrorCode.INVALID_REQUEST,
            f"overlap_seconds must be 0 to {accounts.limits.rotation_overlap_s_max}.",
            param="overlap_seconds",
        )
    project = await _project(accounts, actor, project_id)
    old = await _key(accounts, actor, project_id, key_id)
    ends_at = accounts.now() + overlap_seconds
    if old.revoked_at is not None:
        ends_at = min(ends_at, old.revoked_at)
    return await _issue(
        accounts, actor, project, old.name, old.mode, old.revoked_at, old.rules, in_place_of=old.id, ends_at=ends_at
    )


async def revoke_key(accounts: Accounts, actor: Actor, project_id: str, key_id: str) -> dict[str, Any]:
    """Revokes a key for good. Raises [not_found]."""
    act = Act(actor=actor, action="api_key.revoked", object_id=key_id)
    if await accounts.people.end_api_key(act, project_id) is None:
        raise _no_key(key_id)
    return {"object": "organization.project.api_key.deleted", "id": key_id, "deleted": True}


async def _issue(
    accounts: Accounts,
    actor: Actor,
    project: Project,
    name: str,
    mode: Mode,
    expires_at: int | None,
    rules: KeyRules | None,
    *,
    in_place_of: str | None = None,
    ends_at: int = 0,
) -> dict[str, Any]:
    secret = make_key(mode, accounts.random(_RANDOM_BYTES))
    key = ApiKey(
        id=accounts.make_id("key"),
        name=name,
        mode=mode,
        organization_id=project.organization_id,
        project_id=project.id,
        project=project.name,
        display=shown(secret),
        created_at=accounts.now(),
        revoked_at=expires_at,
        rules=rules,
    )
    made = await accounts.people.create_api_key(
        actor, key, accounts.digest(secret), in_place_of=in_place_of, old_ends_at=ends_at
    )
    return {**await _shown(accounts, made), "value": secret}


async def _shown(accounts: Accounts, key: ApiKey) -> dict[str, Any]:
    """A key with who made it, as a member is now; what the operator made at the command line is the project's own."""
    if key.maker_id is None:
        of_project = {"id": key.project_id, "name": key.project, "created_at": key.created_at, "role": "member"}
        owner = {"type": "service_account", "service_account": of_project, "user": None}
        return key_object(key, accounts.now(), owner, "active")
    member = await accounts.people.find_membership(key.organization_id, key.maker_id)
    user = None
    if member is not None:
        user = {
            "id": member.person_id,
            "name": member.name,
            "email": member.email,
            "created_at": member.added_at,
            "role": member.role,
        }
    owner = {"type": "user", "service_account": None, "user": user}
    return key_object(key, accounts.now(), owner, "active" if user else "inactive")


async def _project(accounts: Accounts, actor: Actor, project_id: str) -> Project:
    project = await accounts.people.find_project(actor.organization_id, project_id)
    if project is None:
        raise TesseraError(ErrorCode.NOT_FOUND, f"There is no project {project_id[:64]!r} in this organization.")
    return project


async def _key(accounts: Accounts, actor: Actor, project_id: str, key_id: str) -> ApiKey:
    key = await accounts.people.find_api_key(actor.organization_id, project_id, key_id)
    if key is None:
        raise _no_key(key_id)
    return key


def _checked(accounts: Accounts, rules: KeyRules | None) -> KeyRules | None:
    """Rules as they are stored. Raises [invalid_request] naming the rule."""
    if rules is None:
        return None
    made = made_rules(rules)
    for model in (made.models if made else None) or ():
        if not accounts.has_model(model):
            raise TesseraError(
                ErrorCode.INVALID_REQUEST,
                f"models: there is no model {model!r}; GET /v1/models lists all.",
                param="models",
            )
    return made


def _mode(text: str) -> Mode:
    try:
        return Mode(text)
    except ValueError:
        raise TesseraError(ErrorCode.INVALID_REQUEST, "mode must be live or test.", param="mode") from None


def _no_key(key_id: str) -> TesseraError:
    return TesseraError(ErrorCode.NOT_FOUND, f"There is no key {key_id[:64]!r} in this project.")


def shown(secret: str) -> str:
    """What of a key can be shown again: prefix, mode and a few characters, and its last four."""
    return f"{secret[:_SHOWN_START]}…{secret[-_SHOWN_END:]}"


def project_object(project: Project) -> dict[str, Any]:
    """OpenAI's `organization.project`."""
    return {
        "object": "organization.project",
        "id": project.id,
        "name": project.name,
        "created_at": project.created_at,
        "archived_at": project.archived_at,
        "status": "active" if project.archived_at is None else "archived",
    }


def key_object(key: ApiKey, now: int, owner: dict[str, Any], owner_access: str) -> dict[str, Any]:
    """OpenAI's `organization.project.api_key`, with its mode, its end and its rules."""
    ended = key.revoked_at is not None and key.revoked_at <= now
    return {
        "object": "organization.project.api_key",
        "id": key.id,
        "name": key.name,
        "mode": key.mode,
        "project_id": key.project_id,
        "redacted_value": key.display,
        "created_at": key.created_at,
        "last_used_at": key.last_used_at,
        "expires_at": key.revoked_at,
        "status": "ended" if ended else "active",
        "owner": owner,
        "owner_project_access": owner_access,
        "rules": None if key.rules is None else msgspec.structs.asdict(key.rules),
    }
