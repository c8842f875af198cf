"""The letters people get, and the links in them. The secret stands behind a #, where no server or log sees it."""

from tessera.domain.deliveries import (
    LEASE_S,
    Delivery,
    DeliveryKind,
    DeliveryState,
    Errand,
    LetterKind,
    WaitingLetter,
)
from tessera.domain.people.records import LinkPurpose
from tessera.flows.people.accounts import Accounts
from tessera.ports.people import Letter

TOKEN_BYTES = 32
NONCE_BYTES = 16


def make_token(accounts: Accounts) -> str:
    """A new one-time secret of 256 bits, as text for an address."""
    return accounts.random(TOKEN_BYTES).hex()


def token_of(accounts: Accounts, letter: WaitingLetter) -> str:
    """The one-time secret of 256 bits in a letter's link: derived under the operator's pepper, stored nowhere."""
    return accounts.digest_of("letter", letter.nonce)


def new_letter(accounts: Accounts, kind: LetterKind, email: str, about: str = "") -> tuple[Errand, str]:
    """A letter to write in the commit that makes it necessary, and the secret for its link.

    This process has it for one try, as if it had taken it; if it dies, another takes it when the lease is over.
    """
    letter = WaitingLetter(kind=kind, nonce=accounts.random(NONCE_BYTES).hex(), about=about)
    delivery = Delivery(
        id=accounts.make_id("delivery"),
        kind=DeliveryKind.LETTER,
        target=email,
        state=DeliveryState.WAITING,
        tries=1,
        next_at=accounts.now() + LEASE_S,
    )
    return Errand(delivery=delivery, letter=letter), token_of(accounts, letter)


async def written(accounts: Accounts, letter: WaitingLetter, email: str) -> Letter | None:
    """The letter's text; None when there is nothing to send: its link was used or has expired meanwhile, or it was to
    nobody."""
    token = token_of(accounts, letter)
    if letter.kind is LetterKind.NOBODY:
        return None
    plain = _plain_letter(accounts, letter, email, token)
    if plain is not None:
        return plain
    if letter.kind is LetterKind.EMAIL_CHANGED:
        standing = await accounts.people.standing_of(letter.about)
        return None if standing is None else email_changed_letter(accounts, email, standing.person.email)
    if letter.kind is LetterKind.INVITATION:
        offer = await accounts.people.find_open_invitation(accounts.digest_of("invitation", token))
        return None if offer is None else invitation_letter(accounts, email, offer.organization, offer.role, token)
    sign_up = letter.kind is LetterKind.SIGN_UP
    purpose = LinkPurpose.SIGN_UP if sign_up else LinkPurpose.PASSWORD_RESET
    if await accounts.people.find_link(accounts.digest_of("link", token), purpose) is None:
        return None
    return sign_up_letter(accounts, email, token) if sign_up else reset_letter(accounts, email, token)


def _plain_letter(accounts: Accounts, letter: WaitingLetter, email: str, token: str) -> Letter | None:
    """A letter that needs nothing but what was kept of it; None for one of another kind."""
    if letter.kind is LetterKind.KNOWN:
        return known_letter(accounts, email)
    if letter.kind is LetterKind.CHANGED:
        return changed_letter(accounts, email, "Your password")
    if letter.kind is LetterKind.NEW_EMAIL:
        return new_email_letter(accounts, email, token)
    if letter.kind is LetterKind.EMAIL_TAKEN:
        return email_taken_letter(accounts, email)
    if letter.kind is LetterKind.EMAIL_ASKED:
        return email_asked_letter(accounts, email, letter.about)
    if letter.kind is LetterKind.IDENTITY:
        return identity_letter(accounts, email, letter.about)
    return None


def operator_link(accounts: Accounts, token: str) -> str:
    """Where the first operator signs up."""
    return f"{accounts.base_url}/welcome#{token}"


def sign_up_letter(accounts: Accounts, email: str, token: str) -> Letter:
    """Confirms a mailbox. The password is asked again: who did not choose it cannot be made to open the account."""
    return _letter(
        email,
        "Confirm your e-mail address",
        f"""Somebody, hopefully you, signed up at {accounts.base_url} with this address. To confirm it, open

{accounts.base_url}/confirm#{token}

and enter the password you chose. The link works once, for {_hours(accounts.limits.sign_up_link_s)}.
If it was not you, do nothing: no account is made.""",
    )


def known_letter(accounts: Accounts, email: str) -> Letter:
    """What somebody gets who signs up with an address that has an account."""
    return _letter(
        email,
        "You have an account already",
        f"""Somebody, hopefully you, signed up at {accounts.base_url} with this address, which has an account.
Sign in at {accounts.base_url}/sign-in, or choose a new password there. If it was not you, do nothing.""",
    )


def reset_letter(accounts: Accounts, email: str, token: str) -> Letter:
    """Lets a mailbox's owner choose a new password."""
    return _letter(
        email,
        "Choose a new password",
        f"""Somebody, hopefully you, asked for a new password at {accounts.base_url}. To choose one, open

{accounts.base_url}/new-password#{token}

The link works once, for {_hours(accounts.limits.reset_link_s)}. If it was not you, do nothing: the password stays.""",
    )


def changed_letter(accounts: Accounts, email: str, what: str) -> Letter:
    """Tells somebody that their account was changed, in case it was not them."""
    return _letter(
        email,
        f"{what} was changed",
        f"""{what} of your account at {accounts.base_url} was changed, and all other sessions were signed out.
If it was not you, choose a new password at {accounts.base_url}/sign-in at once.""",
    )


def new_email_letter(accounts: Accounts, email: str, token: str) -> Letter:
    """Confirms the mailbox that an account's address is to be changed to."""
    return _letter(
        email,
        "Confirm your new e-mail address",
        f"""Somebody, hopefully you, wants to use this address for an account at {accounts.base_url}.
To confirm it, open this where you are signed in:

{accounts.base_url}/new-email#{token}

The link works once, for {_hours(accounts.limits.email_link_s)}.
If it was not you, do nothing: nothing is changed.""",
    )


def email_taken_letter(accounts: Accounts, email: str) -> Letter:
    """What the mailbox gets when the address asked for has an account already."""
    return _letter(
        email,
        "You have an account already",
        f"""Somebody, hopefully you, wants to use this address for another account at {accounts.base_url}.
But it has one. Sign in with it at {accounts.base_url}/sign-in, or erase that account first.
If it was not you, do nothing.""",
    )


def email_asked_letter(accounts: Accounts, email: str, new_email: str) -> Letter:
    """Tells the mailbox until now that the address may change, in time to prevent it."""
    return _letter(
        email,
        "A new e-mail address was asked for",
        f"""Somebody, hopefully you, asked for your account at {accounts.base_url} to have the address {new_email}.
It changes once that mailbox is confirmed. If it was not you, choose a new password at {accounts.base_url}/sign-in
at once: the change is then off.""",
    )


def email_changed_letter(accounts: Accounts, email: str, new_email: str) -> Letter:
    """Tells the mailbox until now that the address was changed."""
    return _letter(
        email,
        "Your e-mail address was changed",
        f"""Your account at {accounts.base_url} now has the address {new_email}, and all other sessions were signed out.
This mailbox gets no more letters for it. If it was not you, tell the operator of this installation at once.""",
    )


def identity_letter(accounts: Accounts, email: str, provider: str) -> Letter:
    """Tells somebody that their account can be signed in to at an identity provider."""
    return _letter(
        email,
        "A way to sign in was added",
        f"""Your account at {accounts.base_url} can now be signed in to through {provider},
which vouched for this address. If it was not you, remove that identity from your account and choose a new password.""",
    )


def invitation_link(accounts: Accounts, token: str) -> str:
    """Where an invitation is taken."""
    return f"{accounts.base_url}/join#{token}"


def invitation_letter(accounts: Accounts, email: str, organization: str, role: str, token: str) -> Letter:
    """Offers a role."""
    return _letter(
        email,
        "You are invited to an organization",
        f"""You are invited to join “{organization}” at {accounts.base_url} as {role}. To accept, open

{invitation_link(accounts, token)}

The link works once, for {_hours(accounts.limits.invitation_s)}. If you do not know the organization, do nothing.""",
    )


def _letter(to: str, subject: str, text: str) -> Letter:
    return Letter(to=to, subject=f"Tessera: {subject}", text=f"{text}\n")


def _hours(seconds: int) -> str:
    hours = seconds // 3600
    return f"{hours // 24} days" if hours > 48 else f"{hours} hour{'s' if hours > 1 else ''}"
