"""What flows need of the storage of projects, their API keys and limits, and of keys for administration.

Every verb raises [storage_unavailable] when the database cannot answer, and what it names. A change and its audit event
(`Act`) are one commit.
"""

from typing import Protocol

from tessera.domain.key_rules import KeyRules
from tessera.domain.ledger.limits import Limits, Meter, SubjectKind
from tessera.domain.money import Mode
from tessera.domain.people.records import Act, Actor, AdminKey, Project
from tessera.ports import Page
from tessera.ports.administration import ApiKey


class Projects(Protocol):
    """Projects, and the API keys in them. An archived project has no key that works, and takes no new one."""

    async def list_projects(self, organization_id: str, page: Page, *, archived: bool) -> tuple[Project, ...]:
        """Oldest first; with `archived`, archived ones too."""
        ...

    async def find_project(self, organization_id: str, project_id: str) -> Project | None:
        """One project of an organization."""
        ...

    async def create_project(self, act: Act, name: str) -> Project:
        """Raises [invalid_request] for a name taken, or too many projects."""
        ...

    async def rename_project(self, act: Act, name: str) -> Project:
        """Raises [invalid_request] for a name taken or an archived project, [not_found]."""
        ...

    async def archive_project(self, act: Act) -> Project:
        """Archives a project for good and revokes its keys; a second time changes nothing. Raises [not_found]."""
        ...

    async def create_api_key(
        self, actor: Actor, key: ApiKey, digest: bytes, *, in_place_of: str | None = None, old_ends_at: int = 0
    ) -> ApiKey:
        """Stores a key; with `in_place_of`, that key of the same project ends at `old_ends_at`; both work until then.

        Raises [not_found] for the project or an old key that has ended, [invalid_request] for an archived project or
        too many keys.
        """
        ...

    async def list_api_keys(self, organization_id: str, project_id: str, page: Page) -> tuple[ApiKey, ...]:
        """A project's keys, oldest first, ended ones too."""
        ...

    async def find_api_key(self, organization_id: str, project_id: str, key_id: str) -> ApiKey | None:
        """One key of a project."""
        ...

    async def end_api_key(self, act: Act, project_id: str) -> ApiKey | None:
        """Revokes a key now and for good; a second time changes nothing. None if the project has no such key."""
        ...

    async def set_api_key_rules(self, actor: Actor, project_id: str, key_id: str, rules: KeyRules | None) -> ApiKey:
        """Replaces what a key may be used for; every process knows within seconds. Raises [not_found]."""
        ...

    async def find_meter(
        self, organization_id: str, mode: Mode | None, kind: SubjectKind, subject_id: str, project_id: str | None = None
    ) -> tuple[Mode, Meter]:
        """What a subject has used, its limits, and in which mode: a key, which is looked for in `project_id`, has its
        own. Raises [not_found]."""
        ...

    async def set_limits(
        self, act: Act, mode: Mode | None, kind: SubjectKind, limits: Limits, project_id: str | None = None
    ) -> tuple[Mode, Meter]:
        """Replaces the limits of the act's object; what it has used stays counted. Raises [not_found]."""
        ...


class AdminKeys(Protocol):
    """Keys for administration: never more rights than their maker has now."""

    async def find_admin_caller(self, digest: str) -> AdminKey | None:
        """The key with this digest, if it works now."""
        ...

    async def use_admin_key(self, key_id: str) -> None:
        """Notes that a key is in use."""
        ...

    async def create_admin_key(self, act: Act, key: AdminKey, digest: str) -> AdminKey:
        """Stores a key by its digest. Raises [not_found] when its maker is no member any more."""
        ...

    async def list_admin_keys(
        self, organization_id: str, page: Page, *, newest_first: bool = False
    ) -> tuple[AdminKey, ...]:
        """Keys that were not revoked, oldest first unless said."""
        ...

    async def find_admin_key(self, organization_id: str, key_id: str) -> AdminKey | None:
        """One key of an organization that was not revoked."""
        ...

    async def revoke_admin_key(self, act: Act) -> bool:
        """Revokes a key for good; False if there is none."""
        ...
