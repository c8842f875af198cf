"""Letters by SMTP, or into the log where no mail server is set."""

import asyncio
import smtplib
import ssl
from email.message import EmailMessage
from email.utils import formatdate, make_msgid

import msgspec

from tessera.log import get_logger
from tessera.people_ports import Letter

log = get_logger(__name__)

AT_ONCE = 4
WAIT_S = 20
"""How long a letter waits for a place, so that its try is over before its lease is."""


class SmtpServer(msgspec.Struct, frozen=True):
    """Where letters are handed over. `security` is starttls, tls or none; `sender` is the From address."""

    host: str
    port: int
    security: str
    sender: str
    username: str | None = None
    password: str | None = None
    seconds_max: int = 20

    def __repr__(self) -> str:
        return f"SmtpServer({self.host}:{self.port})"


class SmtpMail:
    """The port `Mail` over SMTP: a connection per letter, in a thread, a few at a time."""

    def __init__(self, server: SmtpServer) -> None:
        self._server = server
        self._places = asyncio.Semaphore(AT_ONCE)

    async def send(self, letter: Letter) -> None:
        """See the port."""
        try:
            async with asyncio.timeout(WAIT_S):
                await self._places.acquire()
        except TimeoutError:
            raise OSError("too many letters wait for the mail server") from None
        try:
            await asyncio.to_thread(self._send, letter)
        except smtplib.SMTPException as error:
            raise OSError(f"the mail server refused a letter: {type(error).__name__}") from error
        finally:
            self._places.release()

    def _send(self, letter: Letter) -> None:
        server = self._server
        # The header policy refuses line breaks, so that no name or address can add a header.
        message = EmailMessage()
        message["From"] = server.sender
        message["To"] = letter.to
        message["Subject"] = letter.subject
        message["Date"] = formatdate()
        message["Message-ID"] = make_msgid(domain=server.sender.rpartition("@")[2].rstrip(">") or "tessera")
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(letter.text)
        context = ssl.create_default_context()
        if server.security == "tls":
            connection: smtplib.SMTP = smtplib.SMTP_SSL(
                server.host, server.port, timeout=server.seconds_max, context=context
            )
        else:
            connection = smtplib.SMTP(server.host, server.port, timeout=server.seconds_max)
        with connection:
            if server.security == "starttls":
                connection.starttls(context=context)
            if server.username is not None:
                connection.login(server.username, server.password or "")
            connection.send_message(message)


class LoggedMail:
    """The port `Mail` where no mail server is set: the operator reads the letter in the log and passes it on."""

    async def send(self, letter: Letter) -> None:
        """See the port."""
        log.warning("mail.not_sent", to=letter.to, subject=letter.subject, text=letter.text)
