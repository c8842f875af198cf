"""Letters over SMTP: encrypted, logged in, refused, or with nobody there."""

import socket
import ssl
from collections.abc import Iterator
from email import message_from_bytes, policy
from pathlib import Path

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from contract.providers.certificates import certificate, contexts
from tessera.adapters.people.mail import SmtpMail, SmtpServer
from tessera.ports.people import Letter

__all__ = ["certificate"]

pytestmark = pytest.mark.anyio

LETTER = Letter(to="ada@example.com", subject="Grüße", text="Über allem\n.\nis peace\n")
USER, SECRET = "tessera", "the mail server's password"


class Kept:
    """Keeps letters; refuses what is for somebody it does not know."""

    def __init__(self) -> None:
        self.letters: list[bytes] = []

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if address.startswith("unknown"):
            return "550 nobody here"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        assert isinstance(envelope.content, bytes)
        self.letters.append(envelope.content)
        return "250 kept"


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def _authenticate(server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: object) -> AuthResult:
    assert isinstance(data, LoginPassword)
    # Not handled: the server itself says no.
    return AuthResult(success=(data.login, data.password) == (USER.encode(), SECRET.encode()), handled=False)


@pytest.fixture(params=["starttls", "tls"])
def encrypted(request: pytest.FixtureRequest, certificate: Path) -> Iterator[tuple[Kept, int, str]]:
    """A server that takes letters from who is logged in over TLS only."""
    context, _ = contexts(certificate)
    context.set_alpn_protocols([])
    kept = Kept()
    options = {"authenticator": _authenticate, "auth_required": True, "auth_require_tls": request.param == "starttls"}
    if request.param == "starttls":
        options |= {"tls_context": context, "require_starttls": True}
        controller = Controller(kept, hostname="127.0.0.1", port=_free_port(), **options)
    else:
        controller = Controller(kept, hostname="127.0.0.1", port=_free_port(), ssl_context=context, **options)
    controller.start()
    yield kept, controller.port, request.param
    controller.stop()


@pytest.fixture
def plain() -> Iterator[tuple[Kept, int]]:
    kept = Kept()
    controller = Controller(kept, hostname="127.0.0.1", port=_free_port())
    controller.start()
    yield kept, controller.port
    controller.stop()


async def test_a_letter_arrives_as_it_was_written(plain: tuple[Kept, int]) -> None:
    kept, port = plain
    server = SmtpServer(host="127.0.0.1", port=port, security="none", sender="Tessera <tessera@example.com>")
    await SmtpMail(server).send(LETTER)
    message = message_from_bytes(kept.letters[0], policy=policy.default)
    assert (message["To"], message["Subject"]) == ("ada@example.com", "Grüße")
    assert message["From"] == "Tessera <tessera@example.com>"
    assert message["Message-ID"].endswith("@example.com>")
    assert message.get_content().replace("\r\n", "\n") == LETTER.text


async def test_a_refused_letter_is_an_error_that_does_not_repeat_it(plain: tuple[Kept, int]) -> None:
    _, port = plain
    server = SmtpServer(host="127.0.0.1", port=port, security="none", sender="tessera@example.com")
    with pytest.raises(OSError, match="refused") as caught:
        await SmtpMail(server).send(Letter(to="unknown@example.com", subject="s", text="the secret link"))
    assert "secret link" not in str(caught.value)


async def test_nobody_there_is_an_error() -> None:
    server = SmtpServer(host="127.0.0.1", port=_free_port(), security="none", sender="tessera@example.com")
    with pytest.raises(OSError, match=r"refused|Connect"):
        await SmtpMail(server).send(LETTER)


async def test_a_server_without_encryption_gets_nothing_when_encryption_is_set(plain: tuple[Kept, int]) -> None:
    kept, port = plain
    server = SmtpServer(
        host="127.0.0.1", port=port, security="starttls", sender="t@example.com", username=USER, password=SECRET
    )
    with pytest.raises(OSError, match="SMTPNotSupportedError"):
        await SmtpMail(server).send(LETTER)
    assert kept.letters == []


async def test_a_header_cannot_be_split(plain: tuple[Kept, int]) -> None:
    kept, port = plain
    server = SmtpServer(host="127.0.0.1", port=port, security="none", sender="t@example.com")
    with pytest.raises(ValueError, match=r"newline|linefeed"):
        await SmtpMail(server).send(Letter(to="ada@example.com", subject="a\r\nBcc: eve@example.com", text="x"))
    assert kept.letters == []


def encrypting(port: int, security: str, password: str = SECRET) -> SmtpServer:
    return SmtpServer(
        host="localhost", port=port, security=security, sender="t@example.com", username=USER, password=password
    )


@pytest.mark.filterwarnings("ignore:Requiring AUTH")
async def test_a_letter_goes_encrypted_to_a_server_that_proves_who_it_is(
    encrypted: tuple[Kept, int, str], certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, port, security = encrypted
    with pytest.raises(ssl.SSLCertVerificationError):
        await SmtpMail(encrypting(port, security)).send(LETTER)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate.parent / "cert.pem"))
    with pytest.raises(OSError, match="SMTPAuthenticationError"):
        await SmtpMail(encrypting(port, security, "wrong")).send(LETTER)
    assert kept.letters == []
    await SmtpMail(encrypting(port, security)).send(LETTER)
    assert len(kept.letters) == 1


def test_a_server_does_not_show_its_password() -> None:
    server = encrypting(1, "tls")
    assert SECRET not in repr(server)
