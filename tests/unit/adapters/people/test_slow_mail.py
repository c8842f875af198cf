"""A mail server that takes its time over each answer, or says farewell badly: no letter is sent for ever."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from tessera.adapters.people import mail
from tessera.adapters.people.mail import SmtpMail, SmtpServer
from tessera.domain.deliveries import LEASE_S
from tessera.ports.people import Letter

pytestmark = pytest.mark.anyio

LETTER = Letter(to="ada@example.com", subject="s", text="t\n")


class Talker:
    """A mail server that answers each line after `pause_s`, and a farewell with `farewell`; None: it says nothing."""

    def __init__(self) -> None:
        self.pause_s = 0.0
        self.farewell: bytes | None = b"221 bye"
        self.letters = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async def say(line: bytes) -> None:
            await asyncio.sleep(self.pause_s)
            writer.write(line + b"\r\n")

        try:
            await say(b"220 here")
            while line := await reader.readline():
                word = line[:4].strip().upper()
                if word == b"DATA":
                    await say(b"354 go on")
                    await reader.readuntil(b"\r\n.\r\n")
                    self.letters += 1
                    await say(b"250 kept")
                elif word == b"QUIT":
                    await (reader.read() if self.farewell is None else say(self.farewell))
                    break
                else:
                    await say(b"250 yes")
        except (OSError, asyncio.IncompleteReadError):
            pass  # The other side has gone: what these tests are about.
        finally:
            writer.close()


@pytest.fixture
async def talker() -> AsyncIterator[tuple[Talker, Callable[[], SmtpMail]]]:
    talker = Talker()
    server = await asyncio.start_server(talker.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    yield (
        talker,
        lambda: SmtpMail(SmtpServer(host="127.0.0.1", port=port, security="none", sender="t@example.com")),
    )
    server.close()


async def test_a_letter_that_was_taken_is_not_sent_again_for_a_bad_farewell(
    talker: tuple[Talker, Callable[[], SmtpMail]],
) -> None:
    server, sender = talker
    for farewell in (b"221 bye", b"421 too many", b"500 what", b"\xff"):
        server.farewell = farewell
        await sender().send(LETTER)
    assert server.letters == 4


async def test_a_letter_that_was_taken_is_not_sent_again_for_a_farewell_that_never_comes(
    talker: tuple[Talker, Callable[[], SmtpMail]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mail, "TRY_S", 1)
    server, sender = talker
    server.farewell = None
    for _ in range(2):
        await sender().send(LETTER)
    assert server.letters == 2


async def test_a_server_that_is_slow_at_every_answer_gets_less_time_than_a_lease(
    talker: tuple[Talker, Callable[[], SmtpMail]], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert mail.WAIT_S + mail.TRY_S < LEASE_S
    server, sender = talker
    server.pause_s = 0.5
    monkeypatch.setattr(mail, "TRY_S", 1)
    with pytest.raises(OSError, match=r"too slow|longer than"):
        await sender().send(LETTER)
    assert server.letters == 0


async def test_the_place_of_a_letter_that_took_too_long_is_free_again(
    talker: tuple[Talker, Callable[[], SmtpMail]], monkeypatch: pytest.MonkeyPatch
) -> None:
    server, sender = talker
    one = sender()
    server.pause_s = 1.5
    monkeypatch.setattr(mail, "TRY_S", 0.2)
    outcomes = await asyncio.gather(*(one.send(LETTER) for _ in range(mail.AT_ONCE)), return_exceptions=True)
    assert all(isinstance(outcome, OSError) for outcome in outcomes)
    monkeypatch.undo()
    server.pause_s = 0
    await one.send(LETTER)
    assert server.letters == 1
