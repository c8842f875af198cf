"""A mail server that is gone, and more people at the door than can be let in at once."""

import re
import sqlite3
import threading
import time
from pathlib import Path

from people_calls import CONFIG, PASSWORD, Browser, MailServer, People, _send, running_people
from servers import running_server

SIGN_INS = 60
HASH_BYTES = 64 * 1024 * 1024


def test_a_mail_server_that_is_gone_changes_no_answer_and_leaves_no_link_in_the_log(tmp_path: Path) -> None:
    config = CONFIG.format(top="", port=1, tries=1000, letters=1000)
    with running_server(tmp_path, config=config) as server:
        body = {"email": "ada@example.com", "name": "Ada", "password": PASSWORD}
        reply = Browser(server.base_url).post("/account/sign-up", body)
        assert reply.status == 200
        deadline = time.monotonic() + 30
        while "mail.failed" not in server.log.read_text() and time.monotonic() < deadline:
            time.sleep(0.05)
        log = server.log.read_text()
        assert "mail.failed" in log
        assert re.search(r"#[0-9a-f]{64}", log) is None
        assert "ada@example.com" not in log


def delivery_rows(data_dir: Path) -> list[tuple[str, ...]]:
    """What the outbox has, as the database file has it."""
    with sqlite3.connect(f"file:{data_dir / 'tessera.db'}?mode=ro", uri=True) as connection:
        found = connection.execute("SELECT kind, target, letter FROM delivery").fetchall()
    connection.close()
    return found


def test_a_letter_that_a_kill_cut_off_is_sent_after_the_restart_once_and_nothing_of_it_stays(tmp_path: Path) -> None:
    with MailServer() as mail:
        config = CONFIG.format(top="", port=mail.port, tries=1000, letters=1000)
        mail.hangs = True
        email = "ada@example.com"
        with running_server(tmp_path, config=config) as server:
            body = {"email": email, "name": "Ada", "password": PASSWORD}
            assert Browser(server.base_url).post("/account/sign-up", body).status == 200
            deadline = time.monotonic() + 30
            while not mail.taken:
                assert time.monotonic() < deadline, "the letter is on its way"
                time.sleep(0.02)
            server.process.kill()
            server.process.wait(10)
        (row,) = delivery_rows(server.data_dir)
        assert row[:2] == ("letter", email)
        with sqlite3.connect(server.data_dir / "tessera.db") as connection:
            connection.execute("UPDATE delivery SET next_at = 0")  # the dead process's lease is over
        connection.close()
        mail.hangs = False
        with running_server(tmp_path, config=config) as server:
            token = mail.token_to(email, "Confirm")
            while delivery_rows(server.data_dir):
                assert time.monotonic() < deadline + 30, "what was sent is forgotten"
                time.sleep(0.02)
            kept = b"".join(file.read_bytes() for file in server.data_dir.glob("tessera.db*"))
            assert token.encode() not in kept
            assert bytes.fromhex(token) not in kept
            assert token not in str(row)
            browser = Browser(server.base_url)
            assert browser.post("/account/sign-up/confirm", {"token": token, "password": PASSWORD}).status == 200
            assert len(mail.letters_to(email)) == 1


def test_an_address_without_an_account_is_written_no_letter_and_nothing_of_it_stays(people: People) -> None:
    email = people.new_email("nobody")
    assert people.browser().post("/account/password/forget", {"email": email}).status == 200
    deadline = time.monotonic() + 30
    while delivery_rows(people.server.data_dir):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert people.mail.letters_to(email) == []


def test_a_letter_on_its_way_is_sent_before_the_server_stops(tmp_path: Path) -> None:
    for people in running_people(tmp_path):
        emails = [people.new_email() for _ in range(5)]
        for email in emails:
            body = {"email": email, "name": "Ada", "password": PASSWORD}
            assert people.browser().post("/account/sign-up", body).status == 200
        assert people.server.stop() == 0
        assert all(people.mail.letters_to(email) for email in emails)


def test_many_who_sign_in_at_once_take_bounded_memory_and_calls_go_on(people: People) -> None:
    ada = people.newcomer()
    account = people.server.account()
    before = resident_bytes(people)
    statuses: list[int] = []

    def sign_in() -> None:
        body = {"email": ada.email, "password": "not this one"}
        statuses.append(_send(people.base_url, "POST", "/account/sign-in", body, None).status)

    threads = [threading.Thread(target=sign_in) for _ in range(SIGN_INS)]
    for thread in threads:
        thread.start()
    peak, slowest = 0, 0.0
    while any(thread.is_alive() for thread in threads):
        started = time.perf_counter()
        headers = {"Authorization": f"Bearer {account.key}"}
        assert _send(people.base_url, "GET", "/v1/balance", None, headers).status == 200
        slowest = max(slowest, time.perf_counter() - started)
        peak = max(peak, resident_bytes(people) - before)
    for thread in threads:
        thread.join()
    assert set(statuses) <= {401, 503}
    assert statuses.count(401) >= 10
    at_once = 4  # half the processors of any machine these tests run on, and what an allocator may keep
    assert peak < (at_once + 1) * HASH_BYTES, f"{peak / 1e6:.0f} MB for {SIGN_INS} sign-ins at once"
    assert slowest < 2


def resident_bytes(people: People) -> int:
    status = Path(f"/proc/{people.server.process.pid}/statm").read_text().split()
    return int(status[1]) * 4096
