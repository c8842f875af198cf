"""The storage of people, written once for every database.

Owns the SQL of people, links, sessions, memberships, invitations, projects, keys of administration and the audit log.
Always holds: a change and its audit event are one commit; what decides a change is read in that commit; every statement
is a constant with its values apart; an engine adds only how steps are run (`steps.Database`).
"""

from tessera.adapters.storage.people.audit_log import AuditLog
from tessera.adapters.storage.people.email_changes import EmailChanges
from tessera.adapters.storage.people.erasure import Erasure
from tessera.adapters.storage.people.identities import Identities
from tessera.adapters.storage.people.invitations import Invitations
from tessera.adapters.storage.people.organizations import Organizations
from tessera.adapters.storage.people.persons import Persons
from tessera.adapters.storage.people.projects import AdminKeys, Projects
from tessera.adapters.storage.people.second_factors import SecondFactors


class SqlPeople(
    Persons, EmailChanges, SecondFactors, Identities, Organizations, Invitations, Projects, AdminKeys, AuditLog, Erasure
):
    """The port `People` on any database that runs steps."""


__all__ = ["SqlPeople"]
