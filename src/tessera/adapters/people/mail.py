"""Letters by SMTP, or into the log where no mail server is set."""

import asyncio
import contextlib
import smtplib
import ssl
import threading
import time
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from typing import Any

import msgspec

from tessera.log import get_logger
from tessera.ports.people import Letter

log = get_logger(__name__)

AT_ONCE = 4
WAIT_S = 20
"""How long a letter waits for a place."""
TRY_S = 35
"""How long a mail server may take over a letter, all its answers together. With the wait before it, that is less than
the lease of a try: a letter whose lease is over is taken once more, and again for as long as the server is that slow.
"""


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
        taken = threading.Event()
        sending = asyncio.create_task(asyncio.to_thread(self._send, letter, time.monotonic() + TRY_S, taken))
        # Its place is free when its thread is.
        sending.add_done_callback(self._ended)
        try:
            async with asyncio.timeout(TRY_S):
                await asyncio.shield(sending)
        except TimeoutError:
            # It has the letter. However it takes the farewell, it must not get it once more.
            if not taken.is_set():
                raise OSError(f"the mail server took longer than {TRY_S} seconds") from None
        except smtplib.SMTPException as error:
            raise OSError(f"the mail server refused a letter: {type(error).__name__}") from error

    def _ended(self, sending: "asyncio.Task[None]") -> None:
        self._places.release()
        if not sending.cancelled():
            sending.exception()  # told to who waited for it, if anybody still did

    def _send(self, letter: Letter, deadline: float, taken: threading.Event) -> None:
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
        address, seconds_max = (server.host, server.port), server.seconds_max
        connection: smtplib.SMTP
        if server.security == "tls":
            connection = _TlsLine(deadline, *address, timeout=seconds_max, context=context)
        else:
            connection = _PlainLine(deadline, *address, timeout=seconds_max)
        with contextlib.closing(connection):
            if server.security == "starttls":
                connection.starttls(context=context)
            if server.username is not None:
                connection.login(server.username, server.password or "")
            connection.send_message(message)
            taken.set()
            with contextlib.suppress(OSError):
                connection.quit()


class _PlainLine(smtplib.SMTP):
    """A connection whose answers must all have come at a time of the monotonic clock."""

    def __init__(self, deadline: float, *arguments: Any, **options: Any) -> None:
        self._deadline = deadline
        super().__init__(*arguments, **options)

    def getreply(self) -> tuple[int, bytes]:
        """As smtplib has it. Raises TimeoutError."""
        left_s = self._deadline - time.monotonic()
        if left_s <= 0:
            raise TimeoutError("the mail server is too slow")
        if self.sock is not None:
            self.sock.settimeout(min(left_s, self.timeout))
        return super().getreply()


class _TlsLine(_PlainLine, smtplib.SMTP_SSL):
    """The same, within TLS from the beginning."""


class LoggedMail:
    """The port `Mail` where no mail server is set: the operator reads the letter in the log and passes it on."""

    async def send(self, letter: Letter) -> None:
        """See the port."""
        log.warning("mail.not_sent", to=letter.to, subject=letter.subject, text=letter.text)
