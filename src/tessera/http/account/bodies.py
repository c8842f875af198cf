"""Every field that a write takes. What is not named here is refused by name: nothing can be assigned in passing."""

from typing import Annotated, TypeVar

import msgspec

from tessera.domain.dialects.body import open_body
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.key_rules import KeyRules
from tessera.http.exchange import Exchange

BODY_BYTES_MAX = 16_384
BODY_SECONDS_MAX = 10
DEPTH_MAX = 4

Text = Annotated[str, msgspec.Meta(max_length=1_024)]
Token = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
Subject = Annotated[str, msgspec.Meta(min_length=1, max_length=256, pattern=r"^[^\x00-\x1f\x7f]+$")]
Seconds = Annotated[int, msgspec.Meta(ge=0, le=2**40)]


class Fields(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A body of a write."""


class SignUp(Fields, frozen=True, kw_only=True):
    """Somebody new."""

    email: Text
    name: Text
    password: Text


class ConfirmSignUp(Fields, frozen=True, kw_only=True):
    """The token of the letter, and the password chosen at sign-up."""

    token: Token
    password: Text


class SignUpInvited(Fields, frozen=True, kw_only=True):
    """Somebody new, with the token of an invitation."""

    token: Token
    name: Text
    password: Text


class BecomeOperator(Fields, frozen=True, kw_only=True):
    """The first operator, with the token that `tessera serve` prints."""

    token: Token
    email: Text
    name: Text
    password: Text


class SignIn(Fields, frozen=True, kw_only=True):
    """`code` is one of the second factor, or a recovery code."""

    email: Text
    password: Text
    code: Text | None = None


class ForgetPassword(Fields, frozen=True, kw_only=True):
    """Whose password is forgotten."""

    email: Text


class ResetPassword(Fields, frozen=True, kw_only=True):
    """The token of the letter, and the new password."""

    token: Token
    password: Text
    code: Text | None = None


class ChangePassword(Fields, frozen=True, kw_only=True):
    """The password until now, and the new one."""

    password: Text
    new_password: Text


class ChangeEmail(Fields, frozen=True, kw_only=True):
    """The new address, the password, and a code where there is a second factor."""

    email: Text
    password: Text
    code: Text | None = None


class Password(Fields, frozen=True, kw_only=True):
    """The password again, before what cannot be undone."""

    password: Text


class Code(Fields, frozen=True, kw_only=True):
    """A code of the second factor."""

    code: Text


class Name(Fields, frozen=True, kw_only=True):
    """A name."""

    name: Text


class TokenOnly(Fields, frozen=True, kw_only=True):
    """The token of a letter."""

    token: Token


class Role(Fields, frozen=True, kw_only=True):
    """A role: owner, admin, developer, billing or viewer."""

    role: Text


class Invite(Fields, frozen=True, kw_only=True):
    """Who is invited, as what."""

    email: Text
    role: Text


class CreateKey(Fields, frozen=True, kw_only=True):
    """`mode` is live or test; `expires_at` is seconds since 1970; `rules` is what the key may be used for."""

    name: Text = ""
    mode: Text = "live"
    expires_at: Seconds | None = None
    rules: KeyRules | None = None


class Rules(Fields, frozen=True, kw_only=True):
    """What a key may be used for from now on, as `KeyRules` says; what is left out or null is no rule."""

    endpoints: tuple[Text, ...] | None = None
    models: tuple[Text, ...] | None = None
    ip_ranges: tuple[Text, ...] | None = None
    output_tokens_max: int | None = None


class KeyLimits(Fields, frozen=True, kw_only=True):
    """All limits of a key: budgets in USD as decimal strings; what is left out or null is not limited."""

    budget_total: Text | None = None
    budget_month: Text | None = None
    budget_day: Text | None = None
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    concurrent_max: int | None = None


class SharedLimits(KeyLimits, frozen=True, kw_only=True):
    """All limits of a project or an organization in one mode, live or test."""

    mode: Text = "live"


class RotateKey(Fields, frozen=True, kw_only=True):
    """How long the old key works on beside the new one."""

    overlap_seconds: Seconds = 0


class CreateAdminKey(Fields, frozen=True, kw_only=True):
    """A name, and when it ends, if ever."""

    name: Text
    expires_in_seconds: Seconds | None = None


class CreateAlert(Fields, frozen=True, kw_only=True):
    """`kind` is budget (with `percent`), spend or balance (with `amount`, USD); `period` is total, month or day.

    `key` is an id, `project` an id or name; with neither, the alert is on the whole organization.
    """

    kind: Text
    mode: Text = "live"
    key: Subject | None = None
    project: Subject | None = None
    period: Text | None = None
    percent: Annotated[int, msgspec.Meta(ge=1, le=100)] | None = None
    amount: Text | None = None


class CreateWebhook(Fields, frozen=True, kw_only=True):
    """A public address, http or https."""

    url: Annotated[str, msgspec.Meta(min_length=1, max_length=2_000)]


B = TypeVar("B", bound=Fields)


async def read_fields(exchange: Exchange, kind: type[B]) -> B:
    """The body as one of these. Raises [invalid_request] naming the field, request_too_large, request_timeout."""
    raw = await exchange.body(BODY_BYTES_MAX, BODY_SECONDS_MAX)
    body = open_body(raw, depth_max=DEPTH_MAX)
    if body.payloads:
        # What stands in its place in the value is not what was sent; no field is as long as the shortest of them.
        raise TesseraError(ErrorCode.INVALID_REQUEST, "A text in this body is longer than any field may be.")
    try:
        return msgspec.convert(body.value, kind)
    except msgspec.ValidationError as error:
        message, _, path = str(error).partition(" - at ")
        param = path.strip("`").removeprefix("$.") or None
        if param is None and "`" in message:
            param = message.rpartition("`")[0].rpartition("`")[2]
        where = f"{param}: " if path else ""
        text = f"{where}{message[0].lower() if where else message[0]}{message[1:]}."
        raise TesseraError(ErrorCode.INVALID_REQUEST, text, param=param) from None
