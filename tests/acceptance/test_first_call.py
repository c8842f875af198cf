"""A server that says it is ready has what a call needs in memory: the first call is like any later one."""

import http.client
import json
import os
from pathlib import Path

import pytest

from servers import Account, TesseraServer, running_server

FIRST_CALL_MS_MAX = 80
"""More processor time than this, over that of a later call, is something that was read late: a vocabulary takes 200."""


def cpu_ms(server: TesseraServer) -> float:
    fields = Path(f"/proc/{server.process.pid}/stat").read_text().rpartition(")")[2].split()
    return 1000 * (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def call_cpu_ms(server: TesseraServer, account: Account, model: str) -> float:
    """The server's processor time for one call, which is answered."""
    body = json.dumps({"model": model, "messages": [{"role": "user", "content": "Say hello to the harbour, please."}]})
    connection = http.client.HTTPConnection(server.base_url.removeprefix("http://"), timeout=30)
    before = cpu_ms(server)
    connection.request(
        "POST",
        "/v1/chat/completions",
        body,
        {"Authorization": f"Bearer {account.key}", "Content-Type": "application/json"},
    )
    with connection.getresponse() as reply:
        assert reply.status == 200, reply.read()
        reply.read()
    connection.close()
    return cpu_ms(server) - before


@pytest.mark.parametrize("model", ["gpt-4.1-mini", "gpt-5.2-pro"])
def test_the_first_call_takes_no_more_work_than_the_second(tmp_path: Path, model: str) -> None:
    with running_server(tmp_path, fresh=True) as server:
        account = server.account()
        first, second = (call_cpu_ms(server, account, model) for _ in range(2))
        assert first - second < FIRST_CALL_MS_MAX


def test_a_model_with_an_older_vocabulary_is_counted_by_it_when_first_called(tmp_path: Path) -> None:
    with running_server(tmp_path, fresh=True) as server:
        account = server.account()
        first, second = (call_cpu_ms(server, account, "gpt-4-turbo") for _ in range(2))
        assert first > second  # It is read now, in a thread, and only once.
        assert second < FIRST_CALL_MS_MAX
