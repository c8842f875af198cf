"""Hosts, methods and paths of strangers (security-tests T17, T32): no request is another route's than its own."""

import itertools
import re

import pytest

from raw_http import CLOSED, request, talk
from servers import TesseraServer
from tessera.http.route import Door
from tessera.http.routes import ROUTES

METHODS: dict[str, set[str]] = {}
for _route in ROUTES:
    METHODS.setdefault(re.sub(r"\{[^}]*\}", "x", _route.path), set()).add(_route.method)
PATHS = sorted(METHODS)
SWITCHED_OFF = {route.path for route in ROUTES if route.door is Door.SIGNED}
"""Without its secret in the settings such a route is not there."""
OPERATIONS = ["/healthz", "/readyz", "/metrics", "/openapi.json"]
READ = {re.sub(r"\{[^}]*\}", "x", route.path) for route in ROUTES if route.method == "GET" and not route.redirects}


HOSTS = [
    "a/b",
    "a?b",
    "a#b",
    "a@b",
    "a b",
    "a,b",
    "",
    "a:b",
    "a:99999999",
    "http://a",
    "a\\b",
    "[::1",
    "a;b",
    "ä",
    ".a",
    "a%2fb",
]


@pytest.mark.parametrize("host", HOSTS)
def test_a_host_that_is_no_plain_host_is_refused_on_every_route(hurried: TesseraServer, key: str, host: str) -> None:
    for path in [*PATHS, *OPERATIONS, "/nothing"]:
        sent = f"GET {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {key}\r\nConnection: close\r\n\r\n"
        assert talk(hurried.base_url, sent.encode("latin-1")).status == 400, path


def test_two_hosts_or_none_are_refused_on_every_route(hurried: TesseraServer, key: str) -> None:
    for path, hosts in itertools.product([*PATHS, *OPERATIONS], ["", "Host: a\r\nHost: a\r\n"]):
        sent = f"GET {path} HTTP/1.1\r\n{hosts}Authorization: Bearer {key}\r\nConnection: close\r\n\r\n"
        assert talk(hurried.base_url, sent.encode()).status == 400, path


@pytest.mark.parametrize("header", ["X-Forwarded-Host", "X-Original-URL", "X-Rewrite-URL", "X-HTTP-Method-Override"])
def test_headers_that_would_choose_another_route_are_not_believed(hurried: TesseraServer, header: str) -> None:
    heard = talk(hurried.base_url, request("GET", "/v1/balance", None, None, f"{header}: /healthz"))
    assert heard.status == 401


@pytest.mark.parametrize("method", ["OPTIONS", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND"])
def test_a_method_a_route_does_not_have_is_405_with_allow(hurried: TesseraServer, key: str, method: str) -> None:
    for path in PATHS:
        if method in METHODS[path]:
            continue
        heard = talk(hurried.base_url, request(method, path, key, None, "Connection: close"))
        assert heard.status == (404 if path in SWITCHED_OFF else 405), path
        assert b"\r\nallow: " in heard.data or path in SWITCHED_OFF
    for path in OPERATIONS:
        heard = talk(hurried.base_url, request(method, path, key, None, "Connection: close"))
        assert heard.status == 405, path


def test_head_is_get_without_the_body_on_every_route_and_signs_nobody_in(hurried: TesseraServer, key: str) -> None:
    for path in [*PATHS, *OPERATIONS]:
        heard = talk(hurried.base_url, request("HEAD", path, key, None, "Connection: close"), linger_s=5)
        head, _, body = heard.data.partition(b"\r\n\r\n")
        assert (body, heard.end) == (b"", CLOSED), path
        if path in SWITCHED_OFF:
            assert heard.status == 404
        elif path in OPERATIONS or (path in READ and path != "/v1/events"):
            shown = talk(hurried.base_url, request("GET", path, key, None, "Connection: close"), linger_s=5)
            assert shown.status == heard.status, path
            names = {line.partition(b":")[0].lower() for line in shown.data.partition(b"\r\n\r\n")[0].splitlines()[1:]}
            assert {line.partition(b":")[0].lower() for line in head.splitlines()[1:]} == names, path
        else:
            assert heard.status == (200 if path == "/v1/events" else 405), path


@pytest.mark.parametrize(
    "path",
    [
        "/v1/../healthz",
        "/v1/%2e%2e/healthz",
        "/%2e/healthz",
        "//healthz",
        "/healthz/",
        "/healthz%00",
        "/healthz%2f",
        "/HEALTHZ",
        "/v1//balance",
        "/v1/balance;x=1",
        "/v1/balance%0d%0aSet-Cookie:a=b",
        "/v1/chat%2fcompletions/",
        "/v1/requests/../balance",
        "/static/../../../../etc/passwd",
        "/%c0%af",
    ],
)
def test_a_path_is_taken_as_it_stands(hurried: TesseraServer, key: str, path: str) -> None:
    heard = talk(hurried.base_url, request("GET", path, key, None, "Connection: close"))
    assert heard.status in (404, 405)
    assert b"Set-Cookie" not in heard.data.partition(b"\r\n\r\n")[0]
    assert heard.error()["code"] in ("not_found", "method_not_allowed")


@pytest.mark.parametrize(
    "value", ["%00", "%0d%0a", "%ff%fe", "%27%20OR%201=1--", "%F0%9F%92%A9", "a" * 5000, "..%2fx", "%25"]
)
def test_an_id_of_anything_is_simply_unknown(hurried: TesseraServer, key: str, value: str) -> None:
    for path in ("/v1/models/", "/v1/requests/", "/v1/quotes/"):
        heard = talk(hurried.base_url, request("GET", path + value, key, None, "Connection: close"))
        assert heard.status == 404, path
        assert b"\r\n\r\n" in heard.data
        assert len(heard.data) < 4000


def test_a_target_with_a_host_of_its_own_is_served_here(hurried: TesseraServer) -> None:
    heard = talk(hurried.base_url, b"GET http://elsewhere.example/healthz HTTP/1.1\r\nHost: test\r\n\r\n")
    assert heard.status == 200
