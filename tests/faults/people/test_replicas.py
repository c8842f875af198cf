"""Two replicas on one PostgreSQL: what is decided on one holds on the other, at once, and races have one winner."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from event_streams import listening
from people_calls import CONFIG, PASSWORD, Browser, MailServer, People, Reply, send
from servers import running_server

ROUNDS = 4


@pytest.fixture
def replicas(database_url: str, tmp_path: Path) -> Iterator[tuple[People, People]]:
    """Two servers with mail on one database, sharing the secrets."""
    with MailServer() as mail, ExitStack() as stack:
        secrets = tmp_path / "secrets"
        secrets.mkdir()
        top = f'database = "{database_url}"\nsecrets_dir = "{secrets}"'
        config = CONFIG.format(top=top, port=mail.port, tries=1_000_000, letters=1_000_000)
        servers = []
        for name in ("first", "second"):
            folder = tmp_path / name
            folder.mkdir()
            servers.append(stack.enter_context(running_server(folder, config=config)))
        yield People(servers[0], mail), People(servers[1], mail)


def at_other(other: People, browser: Browser) -> Browser:
    """The same browser at the other replica."""
    return Browser(
        other.base_url, browser.email, browser.person_id, browser.organization, cookie=browser.cookie, csrf=browser.csrf
    )


def together(*calls: Callable[[], Reply]) -> list[int]:
    """The statuses of calls made at the same moment."""
    barrier = threading.Barrier(len(calls))
    statuses: list[int] = []

    def one(call: Callable[[], Reply]) -> None:
        barrier.wait()
        statuses.append(call().status)

    threads = [threading.Thread(target=one, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sorted(statuses)


def test_what_is_done_on_one_replica_holds_on_the_other_at_once(replicas: tuple[People, People]) -> None:
    here, there = replicas
    ada = here.newcomer()
    assert at_other(there, ada).get("/account/session").status == 200
    keys = f"{ada.at()}/projects/{ada.project()}/api_keys"
    key = ada.post(keys, {"mode": "test"}).json
    admin_key = ada.post(f"{ada.at()}/admin_api_keys", {"name": "a"}).json
    bearer, admin = ({"Authorization": f"Bearer {one['value']}"} for one in (key, admin_key))
    assert send(there.base_url, "GET", "/v1/balance", None, bearer).status == 200
    assert send(there.base_url, "GET", "/v1/organization/users", None, admin).status == 200
    ada.delete(f"{ada.at()}/admin_api_keys/{admin_key['id']}")
    assert send(there.base_url, "GET", "/v1/organization/users", None, admin).status == 401
    developer = here.member(ada, "developer")
    ada.post(f"{ada.at()}/users/{developer.person_id}", {"role": "viewer"})
    assert at_other(there, developer).post(keys, {"mode": "test"}).status == 403
    ada.post("/account/sign-out")
    assert at_other(there, ada).get("/account/session").status == 401


def test_races_between_replicas_have_one_winner(replicas: tuple[People, People]) -> None:
    here, there = replicas
    for _ in range(ROUNDS):
        owner = here.newcomer()
        second = here.member(owner, "owner")
        other = at_other(there, second)
        assert together(
            lambda owner=owner: owner.post(f"{owner.at()}/leave"),  # type: ignore[misc]
            lambda other=other: other.post(f"{other.at()}/leave"),  # type: ignore[misc]
        ) == [200, 400]

        owner, email = here.newcomer(), here.new_email("bob")
        owner.post(f"{owner.at()}/invites", {"email": email, "role": "viewer"})
        body = {"token": here.mail.token_to(email, "invited"), "name": "Bob", "password": PASSWORD}
        statuses = together(
            *(
                lambda people=people, body=body: people.browser().post("/account/sign-up/invited", body)  # type: ignore[misc]
                for people in (here, there, here, there)
            )
        )
        assert statuses.count(200) == 1
        assert set(statuses) <= {200, 400, 503}
        assert len(owner.get(f"{owner.at()}/users").json["data"]) == 2

        owner = here.newcomer()
        second = here.member(owner, "owner")
        there_second = at_other(there, second)
        erased = together(
            lambda owner=owner: owner.post("/account/person/erase", {"password": PASSWORD}),  # type: ignore[misc]
            lambda other=there_second: other.post("/account/person/erase", {"password": PASSWORD}),  # type: ignore[misc]
        )
        assert erased in ([200, 200], [200, 400]), "both may go when the first is gone before the second begins"


def test_an_alert_is_heard_once_on_each_replica(replicas: tuple[People, People]) -> None:
    here, there = replicas
    owner = here.newcomer()
    keys = f"{owner.at()}/projects/{owner.project()}/api_keys"
    key = str(owner.post(keys, {"mode": "test"}).json["value"])
    with listening(here.base_url, key) as ours, listening(there.base_url, key) as theirs:
        owner.post(f"{owner.at()}/alerts", {"kind": "spend", "mode": "test", "amount": "0.000001"})
        body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hello"}]}
        for base_url in (here.base_url, there.base_url):
            headers = {"Authorization": f"Bearer {key}"}
            assert send(base_url, "POST", "/v1/chat/completions", body, headers).status == 200
        heard = ours.wait("alert.raised")
        assert theirs.wait("alert.raised") == heard
        for stream in (ours, theirs):
            stream.wait("request.settled", 2)
    for stream in (ours, theirs):
        assert [event for event in stream.events if event["type"] == "alert.raised"] == heard


def test_both_replicas_write_one_audit_log_without_a_gap(replicas: tuple[People, People]) -> None:
    here, there = replicas
    ada = here.newcomer()
    other = at_other(there, ada)
    calls = [
        lambda browser=browser, n=n: browser.post(f"{ada.at()}/projects", {"name": f"project {n}"})  # type: ignore[misc]
        for n, browser in enumerate([ada, other] * 10)
    ]
    assert together(*calls) == [200] * 20
    events = ada.get(f"{ada.at()}/audit_logs?limit=100").json["data"]
    assert [event["type"] for event in events].count("project.created") == 20
