"""Roles and the one table of what each may do. What is not in the table is not allowed."""

from enum import StrEnum

from tessera.domain.errors import ErrorCode, TesseraError


class Right(StrEnum):
    """One thing that can be done in an organization."""

    ORGANIZATION_READ = "organization.read"
    ORGANIZATION_CHANGE = "organization.change"
    ORGANIZATION_EXPORT = "organization.export"
    ORGANIZATION_DELETE = "organization.delete"
    MEMBERS_READ = "members.read"
    MEMBERS_CHANGE = "members.change"
    PROJECTS_READ = "projects.read"
    PROJECTS_CHANGE = "projects.change"
    KEYS_READ = "keys.read"
    KEYS_CHANGE = "keys.change"
    ADMIN_KEYS_READ = "admin_keys.read"
    ADMIN_KEYS_CHANGE = "admin_keys.change"
    AUDIT_READ = "audit.read"
    USAGE_READ = "usage.read"
    MONEY_READ = "money.read"
    MONEY_CHANGE = "money.change"


class Role(StrEnum):
    """What a member is in an organization."""

    OWNER = "owner"
    ADMIN = "admin"
    DEVELOPER = "developer"
    BILLING = "billing"
    VIEWER = "viewer"


_OPENAI_READER = "reader"

_VIEWER = frozenset({Right.ORGANIZATION_READ, Right.MEMBERS_READ, Right.PROJECTS_READ, Right.USAGE_READ})
_DEVELOPER = _VIEWER | {Right.KEYS_READ, Right.KEYS_CHANGE, Right.MONEY_READ}
_BILLING = _VIEWER | {Right.MONEY_READ, Right.MONEY_CHANGE}
_ADMIN = (
    _DEVELOPER
    | _BILLING
    | {Right.ORGANIZATION_CHANGE, Right.MEMBERS_CHANGE, Right.PROJECTS_CHANGE, Right.AUDIT_READ}
    | {Right.ADMIN_KEYS_READ, Right.ADMIN_KEYS_CHANGE}
)

RIGHTS: dict[Role, frozenset[Right]] = {
    Role.OWNER: frozenset(Right),
    Role.ADMIN: _ADMIN,
    Role.DEVELOPER: _DEVELOPER,
    Role.BILLING: _BILLING,
    Role.VIEWER: _VIEWER,
}


def require(held: frozenset[Right], right: Right) -> None:
    """Raises [permission_denied] unless the right is held."""
    if right not in held:
        raise TesseraError(
            ErrorCode.PERMISSION_DENIED,
            f"Your role does not allow {right}. Ask an owner or admin of the organization for it.",
        )


def check_grant(held: frozenset[Right], role: Role) -> None:
    """Raises [permission_denied] for a role with any right the giver does not have."""
    if not RIGHTS[role] <= held:
        raise TesseraError(
            ErrorCode.PERMISSION_DENIED,
            f"You cannot give the role {role}: it may do more than you may.",
            param="role",
        )


def check_acts_on(held: frozenset[Right], target: Role) -> None:
    """Raises [permission_denied] unless the actor stands above the target: nobody acts on an equal (T24)."""
    if not RIGHTS[target] < held:
        raise TesseraError(
            ErrorCode.PERMISSION_DENIED,
            f"You cannot change a member with the role {target}: your own role is not above it. Members can leave or "
            "step down by themselves.",
        )


def parse_role(text: str) -> Role:
    """A role by its name; OpenAI's `reader` is a viewer. Raises [invalid_request]."""
    try:
        return Role.VIEWER if text == _OPENAI_READER else Role(text)
    except ValueError:
        known = ", ".join(Role)
        raise TesseraError(ErrorCode.INVALID_REQUEST, f"role must be one of {known}.", param="role") from None
