"""The routes for people. What a member does with a session, an admin key does under `/v1/organization`."""

from collections.abc import Iterator
from typing import Any

import msgspec

from tessera.domain.people.roles import Right
from tessera.http.account import administration as admin
from tessera.http.account import alerts, bodies, identities, limits, organizations, own
from tessera.http.requests import PAGE
from tessera.http.route import Door, Handler, Route

_PROJECTS = {**PAGE, "include_archived": {"type": "boolean", "default": False}}
_Body = type[msgspec.Struct] | None


def _open(path: str, handler: Handler, body: _Body, reply: str) -> Route:
    return Route("POST", f"/account{path}", handler, reply, body, door=Door.OPEN)


def _own(method: str, path: str, handler: Handler, reply: str, body: _Body = None) -> Route:
    return Route(method, f"/account{path}", handler, reply, body, door=Door.PERSON)


def _member(method: str, path: str, handler: Handler, reply: str, right: Right, body: _Body = None) -> Route:
    path = f"/account/organizations/{{organization}}{path}"
    return Route(method, path, handler, reply, body, door=Door.MEMBER, right=right)


def _both(
    method: str,
    path: str,
    handler: Handler,
    reply: str,
    right: Right,
    body: _Body = None,
    query: dict[str, Any] | None = None,
) -> Iterator[Route]:
    for door, prefix in ((Door.ADMIN, "/v1/organization"), (Door.MEMBER, "/account/organizations/{organization}")):
        yield Route(method, prefix + path, handler, reply, body, query=query or {}, door=door, right=right)


ACCOUNT_ROUTES: tuple[Route, ...] = (
    _open("/sign-up", own.sign_up, bodies.SignUp, "Sent"),
    _open("/sign-up/confirm", own.confirm_sign_up, bodies.ConfirmSignUp, "Session"),
    _open("/sign-up/invited", own.sign_up_invited, bodies.SignUpInvited, "Session"),
    _open("/operator", own.become_operator, bodies.BecomeOperator, "Session"),
    _open("/sign-in", own.sign_in, bodies.SignIn, "Session"),
    _open("/password/forget", own.forget_password, bodies.ForgetPassword, "Sent"),
    _open("/password/reset", own.reset_password, bodies.ResetPassword, "Done"),
    _own("POST", "/sign-out", own.sign_out, "Done"),
    _own("GET", "/session", own.show_session, "Session"),
    _own("GET", "/sessions", own.list_sessions, "SessionList"),
    _own("DELETE", "/sessions/{session}", own.end_session, "Done"),
    _own("POST", "/password", own.change_password, "Session", bodies.ChangePassword),
    _own("POST", "/email", own.ask_email, "Sent", bodies.ChangeEmail),
    _own("POST", "/email/confirm", own.confirm_email, "Session", bodies.TokenOnly),
    _own("POST", "/person", own.rename, "Person", bodies.Name),
    _own("GET", "/person/export", own.export, "Export"),
    _own("POST", "/person/erase", own.erase, "Done", bodies.Password),
    _own("POST", "/second-factor", own.start_second_factor, "SecondFactor", bodies.Password),
    _own("POST", "/second-factor/confirm", own.confirm_second_factor, "SecondFactor", bodies.Code),
    _own("POST", "/second-factor/remove", own.remove_second_factor, "Done", bodies.Code),
    Route("GET", "/account/oidc", identities.list_providers, "IdentityProviderList", door=Door.OPEN),
    _open("/oidc/second-factor", identities.finish_with_code, bodies.Code, "Session"),
    _own("GET", "/identities", identities.list_identities, "IdentityList"),
    _own("DELETE", "/identities/{identity}", identities.remove_identity, "Done"),
    _own("GET", "/organizations", organizations.index, "OrganizationList"),
    _own("POST", "/organizations", organizations.create, "Organization", bodies.Name),
    _own("POST", "/invitations/accept", organizations.join, "Organization", bodies.TokenOnly),
    _member("GET", "", organizations.show, "Organization", Right.ORGANIZATION_READ),
    _member("POST", "", organizations.rename, "Organization", Right.ORGANIZATION_CHANGE, bodies.Name),
    _member("POST", "/leave", organizations.leave, "Deleted", Right.ORGANIZATION_READ),
    _member("GET", "/export", organizations.export, "Export", Right.ORGANIZATION_EXPORT),
    _member("POST", "/delete", organizations.delete, "Deleted", Right.ORGANIZATION_DELETE, bodies.Password),
    *_both("GET", "/users", admin.list_users, "UserList", Right.MEMBERS_READ, query={**PAGE, **admin.USERS_ONLY}),
    *_both("GET", "/users/{user}", admin.show_user, "User", Right.MEMBERS_READ),
    *_both("POST", "/users/{user}", admin.change_user, "User", Right.MEMBERS_CHANGE, bodies.Role),
    *_both("DELETE", "/users/{user}", admin.remove_user, "Deleted", Right.MEMBERS_CHANGE),
    *_both("GET", "/invites", admin.list_invites, "InviteList", Right.MEMBERS_CHANGE, query=PAGE),
    *_both("POST", "/invites", admin.create_invite, "Invite", Right.MEMBERS_CHANGE, bodies.Invite),
    *_both("GET", "/invites/{invite}", admin.show_invite, "Invite", Right.MEMBERS_CHANGE),
    *_both("DELETE", "/invites/{invite}", admin.withdraw_invite, "Deleted", Right.MEMBERS_CHANGE),
    *_both("GET", "/projects", admin.list_projects, "ProjectList", Right.PROJECTS_READ, query=_PROJECTS),
    *_both("POST", "/projects", admin.create_project, "Project", Right.PROJECTS_CHANGE, bodies.Name),
    *_both("GET", "/projects/{project}", admin.show_project, "Project", Right.PROJECTS_READ),
    *_both("POST", "/projects/{project}", admin.rename_project, "Project", Right.PROJECTS_CHANGE, bodies.Name),
    *_both("POST", "/projects/{project}/archive", admin.archive_project, "Project", Right.PROJECTS_CHANGE),
    *_both("GET", "/projects/{project}/api_keys", admin.list_keys, "KeyList", Right.KEYS_READ, query=PAGE),
    *_both("POST", "/projects/{project}/api_keys", admin.create_key, "NewKey", Right.KEYS_CHANGE, bodies.CreateKey),
    *_both("GET", "/projects/{project}/api_keys/{key}", admin.show_key, "Key", Right.KEYS_READ),
    *_both("DELETE", "/projects/{project}/api_keys/{key}", admin.revoke_key, "Deleted", Right.KEYS_CHANGE),
    *_both(
        "POST",
        "/projects/{project}/api_keys/{key}/rules",
        admin.change_key_rules,
        "Key",
        Right.KEYS_CHANGE,
        bodies.Rules,
    ),
    *_both("GET", "/projects/{project}/api_keys/{key}/limits", limits.show_key, "Limits", Right.KEYS_READ),
    *_both(
        "POST",
        "/projects/{project}/api_keys/{key}/limits",
        limits.set_key,
        "Limits",
        Right.KEYS_CHANGE,
        bodies.KeyLimits,
    ),
    *_both("GET", "/projects/{project}/limits", limits.show_project, "Limits", Right.USAGE_READ, query=limits.MODE),
    *_both(
        "POST",
        "/projects/{project}/limits",
        limits.set_project,
        "Limits",
        Right.PROJECTS_CHANGE,
        bodies.SharedLimits,
    ),
    *_both("GET", "/limits", limits.show_organization, "Limits", Right.USAGE_READ, query=limits.MODE),
    *_both("POST", "/limits", limits.set_organization, "Limits", Right.ORGANIZATION_CHANGE, bodies.SharedLimits),
    *_both(
        "POST",
        "/projects/{project}/api_keys/{key}/rotate",
        admin.rotate_key,
        "NewKey",
        Right.KEYS_CHANGE,
        bodies.RotateKey,
    ),
    *_both(
        "GET",
        "/admin_api_keys",
        admin.list_admin_keys,
        "AdminKeyList",
        Right.ADMIN_KEYS_READ,
        query={**PAGE, **admin.ORDER},
    ),
    *_both(
        "POST",
        "/admin_api_keys",
        admin.create_admin_key,
        "NewAdminKey",
        Right.ADMIN_KEYS_CHANGE,
        bodies.CreateAdminKey,
    ),
    *_both("GET", "/admin_api_keys/{key}", admin.show_admin_key, "AdminKey", Right.ADMIN_KEYS_READ),
    *_both("DELETE", "/admin_api_keys/{key}", admin.revoke_admin_key, "Deleted", Right.ADMIN_KEYS_CHANGE),
    *_both("GET", "/alerts", alerts.list_alerts, "AlertList", Right.MONEY_READ, query=PAGE),
    *_both("POST", "/alerts", alerts.create_alert, "Alert", Right.MONEY_CHANGE, bodies.CreateAlert),
    *_both("DELETE", "/alerts/{alert}", alerts.remove_alert, "Deleted", Right.MONEY_CHANGE),
    *_both("GET", "/notices", alerts.list_notices, "NoticeList", Right.MONEY_READ, query=PAGE),
    *_both("GET", "/webhooks", alerts.list_webhooks, "WebhookList", Right.MONEY_READ, query=PAGE),
    *_both("POST", "/webhooks", alerts.create_webhook, "NewWebhook", Right.MONEY_CHANGE, bodies.CreateWebhook),
    *_both("DELETE", "/webhooks/{webhook}", alerts.remove_webhook, "Deleted", Right.MONEY_CHANGE),
    *_both(
        "GET",
        "/audit_logs",
        admin.list_audit_logs,
        "AuditEventList",
        Right.AUDIT_READ,
        query={**PAGE, **admin.EVENTS_ONLY},
    ),
)

IDENTITY_PROVIDER_ROUTES: tuple[Route, ...] = (
    Route("GET", "/account/oidc/{provider}/start", identities.begin, "", door=Door.OPEN, redirects=True),
    Route(
        "GET",
        "/account/oidc/{provider}/callback",
        identities.finish,
        "",
        query=identities.CAME_BACK,
        door=Door.OPEN,
        redirects=True,
    ),
)
"""Where browsers are sent to and come back from; a provider that is not configured is not there."""
