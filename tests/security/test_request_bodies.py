"""Request bodies from strangers (security-tests T32, T36): one plain JSON object, or a refusal in words."""

import json
import re

import pytest

from raw_http import chat, request, talk
from servers import TesseraServer
from tessera.http.route import Door
from tessera.http.routes import ROUTES

POSTS = sorted(
    {route.path for route in ROUTES if route.method == "POST" and route.door is Door.KEY and not route.money}
)
OTHER_WRITES = sorted(
    {
        (route.method, re.sub(r"\{[^}]*\}", "x", route.path))
        for route in ROUTES
        if route.method in ("POST", "PUT", "PATCH") and not (route.door is Door.KEY and not route.money)
    }
)
HELLO = json.dumps({"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]}).encode()

DEEP = 100_000
BODIES = {
    "nothing": b"",
    "not JSON": b"hello",
    "an array": b"[]",
    "a string": b'"x"',
    "null": b"null",
    "deep objects": b'{"model":' + b'{"a":' * DEEP + b"1" + b"}" * DEEP + b"}",
    "deep arrays": b'{"model":' + b"[" * DEEP + b"]" * DEEP + b"}",
    "deep and open": b"[" * DEEP,
    "deep in a body": b'{"url":"/v1/responses","body":' + b'{"a":' * DEEP + b"1" + b"}" * DEEP + b"}",
    "deep where nobody looks": b'{"x":' + b"[" * DEEP + b"]" * DEEP + b',"url":"/v1/responses","body":{}}',
    "a key twice": b'{"model":"gpt-4o","model":"gpt-4o-mini","url":"/v1/responses","url":"/v1/responses","body":{}}',
    "a key twice, escaped": b'{"model":"gpt-4o","mod\\u0065l":"o1","url":"a","\\u0075rl":"/v1/responses","body":{}}',
    "a key twice, inside": b'{"model":"gpt-4o","input":"a","metadata":{"a":"1","a":"2"},'
    b'"messages":[{"role":"user","content":"a"}],"url":"/v1/responses","body":{"model":"gpt-4o","model":"o1","input":"a"}}',
    "a lone surrogate": b'{"model":"\\ud800","url":"\\ud800","body":{}}',
    "a lone surrogate in text": b'{"model":"gpt-4o","input":"\\udc00","messages":[{"role":"user","content":"\\udc00"}],'
    b'"url":"/v1/responses","body":{"model":"gpt-4o","input":"\\udc00"}}',
    "surrogates as bytes": b'{"model":"\xed\xa0\x80"}',
    "bad UTF-8": b'{"model":"\xff"}',
    "UTF-16": '{"model":"gpt-4o"}'.encode("utf-16"),
    "a byte order mark": b'\xef\xbb\xbf{"model":"gpt-4o"}',
    "NaN": b'{"model":"gpt-4o","temperature":NaN}',
    "Infinity": b'{"model":"gpt-4o","temperature":-Infinity}',
    "a huge number": b'{"model":"gpt-4o","n":' + b"9" * 5000 + b"}",
    "a huge exponent": b'{"model":"gpt-4o","n":1e999999}',
    "two objects": b'{"model":"gpt-4o"}{"model":"gpt-4o"}',
    "a comment": b'{"model":"gpt-4o"} // x',
    "a trailing comma": b'{"model":"gpt-4o",}',
    "special names": b'{"__proto__":{"model":"gpt-4o"},"constructor":{"prototype":{}},"__class__":"x"}',
    "NULs": b"\0" * 100,
}


@pytest.mark.parametrize("path", POSTS)
@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
def test_a_body_that_is_not_one_plain_object_is_refused_in_words(
    hurried: TesseraServer, key: str, path: str, body: bytes
) -> None:
    heard = talk(hurried.base_url, request("POST", path, key, body, "Connection: close"))
    assert heard.status == 400, heard.data[:500]
    assert heard.error()["message"].endswith((".", "…", "`"))
    assert len(heard.data) < 2000


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
def test_at_every_other_door_such_a_body_is_refused_in_words_too(hurried: TesseraServer, key: str, body: bytes) -> None:
    for method, path in OTHER_WRITES:
        heard = talk(hurried.base_url, request(method, path, key, body, "Connection: close"))
        assert heard.status in (400, 401, 403, 404, 413), (path, heard.data[:500])
        assert heard.error()["message"].endswith((".", "…", "`"))
        assert len(heard.data) < 2000


NUMBERS = [
    b"-1",
    b"0",
    b"1e0",
    b"1.5",
    b"2147483648",
    b"9007199254740993",
    b"9223372036854775808",
    b"1e400",
    b'"1"',
    b"true",
    b"[]",
]


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/responses"])
@pytest.mark.parametrize("field", ["n", "max_completion_tokens", "max_output_tokens", "top_logprobs", "seed"])
def test_a_number_that_makes_no_sense_is_refused_or_harmless(
    hurried: TesseraServer, key: str, path: str, field: str
) -> None:
    for number in NUMBERS:
        body = b'{"model":"gpt-4o","input":"a","messages":[{"role":"user","content":"a"}],"%b":%b}'
        body = body.replace(b'"input":"a",' if "chat" in path else b'"messages":[{"role":"user","content":"a"}],', b"")
        heard = talk(hurried.base_url, request("POST", path, key, body % (field.encode(), number), "Connection: close"))
        assert heard.status in (200, 400, 402), (field, number, heard.data[:300])


@pytest.mark.parametrize("path", POSTS)
@pytest.mark.parametrize("coding", ["gzip", "br", "deflate", "gzip, identity", "aes128gcm"])
def test_an_encoded_body_is_refused_in_words(hurried: TesseraServer, key: str, path: str, coding: str) -> None:
    sent = request("POST", path, key, HELLO, f"Content-Encoding: {coding}", "Connection: close")
    heard = talk(hurried.base_url, sent)
    assert heard.status == 400
    assert "uncompressed" in heard.error()["message"]


@pytest.mark.parametrize("path", POSTS)
@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=a", "*/*"]
)
def test_a_body_of_another_kind_is_refused_in_words(hurried: TesseraServer, key: str, path: str, kind: str) -> None:
    sent = chat(key, f"Content-Length: {len(HELLO)}", "Connection: close", path=path) + b"\r\n" + HELLO
    heard = talk(hurried.base_url, sent.replace(b"application/json", kind.encode()))
    assert heard.status == 400
    assert "application/json" in heard.error()["message"]


@pytest.mark.parametrize("kind", ["application/json", "application/json; charset=utf-8", "APPLICATION/JSON"])
def test_json_by_any_spelling_is_taken(hurried: TesseraServer, key: str, kind: str) -> None:
    sent = chat(key, f"Content-Length: {len(HELLO)}", "Connection: close") + b"\r\n" + HELLO
    assert talk(hurried.base_url, sent.replace(b"application/json", kind.encode())).status == 200


def test_who_calls_is_settled_before_a_body_is_read(hurried: TesseraServer) -> None:
    for path in POSTS:
        heard = talk(
            hurried.base_url, request("POST", path, "sk-tess-live-" + "0" * 36, None, "Content-Length: 900000")
        )
        assert heard.status == 401, path
