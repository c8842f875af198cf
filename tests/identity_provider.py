"""An identity provider on loopback: a real HTTP server that speaks OpenID Connect and signs with real keys.

    with IdentityProviderStandIn() as idp:
        with running_server(folder, config=idp.config("corp")) as server:
            visitor = Visitor(server.base_url)
            visitor.sign_in("corp")   # there, signed in as idp.person, and back

It does what a good one does, and checks what a good one checks: the client's secret, PKCE, codes that work once. What
it says can be changed claim by claim, how it signs, and how it answers at all.
"""

import base64
import hashlib
import hmac
import http.client
import json
import secrets
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlencode, urlsplit

from joserfc import jwk, jws

from people_calls import Browser

CLIENT_ID = "tessera at corp"
CLIENT_SECRET = "a secret: with % and +"
CONFIG = """
[[oidc]]
name = "{name}"
issuer = "{issuer}"
client_id = "{client_id}"
client_secret = "file:{file}"
"""
Sign = Callable[[dict[str, Any], dict[str, Any]], str]


@cache
def made_key(kind: str, size: int | str, number: int = 0) -> jwk.Key:
    """A private key; the same one for all tests of a process, because making one takes a while."""
    return jwk.generate_key(kind, size, private=True)  # type: ignore[call-overload,no-any-return]


@dataclass
class SigningKey:
    """A key, by which algorithm it signs, and under which name its public part is published."""

    key: Any
    algorithm: str = "RS256"
    key_id: str | None = "first"

    def public(self) -> dict[str, Any]:
        names = {} if self.key_id is None else {"kid": self.key_id}
        return {**self.key.as_dict(private=False), "use": "sig", "alg": self.algorithm, **names}

    def sign(self, header: dict[str, Any], claims: dict[str, Any]) -> str:
        names = {} if self.key_id is None else {"kid": self.key_id}
        return sign({"alg": self.algorithm, **names, **header}, claims, self.key)


def sign(header: dict[str, Any], claims: dict[str, Any], key: Any) -> str:
    """A token signed by any algorithm with any key, as an attacker would: no library has a say in it. A key of bytes is
    a secret of HS256."""
    signed = f"{_part(header)}.{_part(claims)}"
    if isinstance(key, bytes):
        signature = hmac.digest(key, signed.encode(), "sha256")
    else:
        signature = jws.JWSRegistry.algorithms[header["alg"]].sign(signed.encode(), key)
    return f"{signed}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


def _part(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


@dataclass
class Grant:
    """A code that was given to a browser."""

    asked: dict[str, str]
    person: dict[str, Any]
    used: bool = False


@dataclass
class IdentityProviderStandIn:
    """Who signs in there is `person`. `claims` are put over those of its ID tokens (None takes one out)."""

    person: dict[str, Any] = field(default_factory=dict)
    keys: list[SigningKey] = field(default_factory=lambda: [SigningKey(made_key("RSA", 2048))])
    published: list[dict[str, Any]] | None = None
    claims: dict[str, Any] = field(default_factory=dict)
    userinfo: dict[str, Any] | None = None
    discovery: dict[str, Any] = field(default_factory=dict)
    token: dict[str, Any] = field(default_factory=dict)
    sign: Sign | None = None
    answers: dict[str, Callable[[BaseHTTPRequestHandler], None]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    grants: dict[str, Grant] = field(default_factory=dict)
    says_issuer: bool = False
    refuses: str | None = None

    def __enter__(self) -> "IdentityProviderStandIn":
        stand_in = self

        class Handler(_Handler):
            idp = stand_in

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join(10)
        self._server.server_close()

    @property
    def issuer(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/realms/corp"

    def config(self, name: str, file: object) -> str:
        """Settings for a server where people sign in here; `file` is where the client's secret is written."""
        return CONFIG.format(name=name, issuer=self.issuer, client_id=CLIENT_ID, file=file)

    def rotate(self, key: SigningKey) -> None:
        """From now on another key signs, and the one before is not published any more."""
        self.keys = [key]

    def forget(self) -> None:
        """All that was changed is as at first, but the keys."""
        self.claims, self.discovery, self.token, self.answers = {}, {}, {}, {}
        self.sign = self.userinfo = self.published = self.refuses = None
        self.says_issuer = False

    def approve(self, asked: dict[str, str]) -> str:
        """Where a browser goes that asked for this and signed in: back, with a code."""
        assert (asked["response_type"], asked["client_id"]) == ("code", CLIENT_ID)
        assert asked["code_challenge_method"] == "S256"
        assert "openid" in asked["scope"].split()
        back = {"state": asked["state"], **({"iss": self.issuer} if self.says_issuer else {})}
        if self.refuses is not None:
            return f"{asked['redirect_uri']}?{urlencode({'error': self.refuses, **back})}"
        code = secrets.token_urlsafe(16)
        self.grants[code] = Grant(asked, dict(self.person))
        return f"{asked['redirect_uri']}?{urlencode({'code': code, 'session_state': 'x', **back})}"

    def exchange(self, form: dict[str, str], authorization: str | None) -> tuple[int, dict[str, Any]]:
        """Tokens for a code."""
        if not _is_client(form, authorization):
            return 401, {"error": "invalid_client"}
        grant = self.grants.get(form.get("code", ""))
        if grant is None or grant.used or form.get("redirect_uri") != grant.asked["redirect_uri"]:
            return 400, {"error": "invalid_grant"}
        grant.used = True
        challenge = base64.urlsafe_b64encode(hashlib.sha256(form.get("code_verifier", "").encode()).digest())
        if challenge.rstrip(b"=").decode() != grant.asked["code_challenge"]:
            return 400, {"error": "invalid_grant"}
        now = int(time.time())
        claims = {
            "iss": self.issuer,
            "aud": CLIENT_ID,
            "exp": now + 300,
            "iat": now,
            "nonce": grant.asked["nonce"],
            **grant.person,
            **self.claims,
        }
        claims = {name: value for name, value in claims.items() if value is not None}
        token = (self.sign or self.keys[0].sign)({}, claims)
        return 200, {"id_token": token, "access_token": "access-token", "token_type": "Bearer", **self.token}

    def described(self) -> dict[str, Any]:
        described = {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize?prompt=login",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/keys",
            "userinfo_endpoint": f"{self.issuer}/userinfo",
            "token_endpoint_auth_methods_supported": ["private_key_jwt", "client_secret_basic"],
            **self.discovery,
        }
        return {name: value for name, value in described.items() if value is not None}


def _is_client(form: dict[str, str], authorization: str | None) -> bool:
    if authorization is None:
        return (form.get("client_id"), form.get("client_secret")) == (CLIENT_ID, CLIENT_SECRET)
    login, _, password = base64.b64decode(authorization.removeprefix("Basic ")).decode().partition(":")
    return (unquote(login), unquote(password)) == (CLIENT_ID, CLIENT_SECRET) and "client_secret" not in form


class _Handler(BaseHTTPRequestHandler):
    idp: IdentityProviderStandIn
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path, asked = self._asked()
        if path in self.idp.answers:
            with suppress(OSError):
                self.idp.answers[path](self)
        elif path == "/.well-known/openid-configuration":
            reply_json(self, 200, self.idp.described())
        elif path == "/keys":
            published = self.idp.published
            reply_json(self, 200, {"keys": [key.public() for key in self.idp.keys] if published is None else published})
        elif path == "/userinfo" and self.headers["Authorization"] == "Bearer access-token":
            reply_json(self, 200, self.idp.userinfo or {})
        elif path == "/authorize":
            assert asked.pop("prompt") == "login"
            self.send_response(302)
            self.send_header("Location", self.idp.approve(asked))
            self.send_header("Content-Length", "0")
            self.end_headers()
        else:
            reply_json(self, 404, {})

    def do_POST(self) -> None:
        path, _ = self._asked()
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        if path in self.idp.answers:
            with suppress(OSError):
                self.idp.answers[path](self)
        else:
            form = {name: values[0] for name, values in parse_qs(body, strict_parsing=True).items()}
            reply_json(self, *self.idp.exchange(form, self.headers["Authorization"]))

    def _asked(self) -> tuple[str, dict[str, str]]:
        parts = urlsplit(self.path)
        path = parts.path.removeprefix("/realms/corp")
        self.idp.asked.append(path)
        return path, {name: values[0] for name, values in parse_qs(parts.query).items()}

    def log_message(self, *_: object) -> None:
        pass


def reply_json(handler: BaseHTTPRequestHandler, status: int, value: object, **headers: str) -> None:
    """A whole answer."""
    content = value if isinstance(value, bytes) else json.dumps(value).encode()
    handler.send_response(status)
    for name, text in {"Content-Type": "application/json", **headers}.items():
        handler.send_header(name.replace("_", "-"), text)
    handler.send_header("Content-Length", str(len(content)))
    handler.end_headers()
    handler.wfile.write(content)


@dataclass
class Answer:
    """What a browser sees of one request."""

    status: int
    location: str
    text: str

    @property
    def code(self) -> str:
        return str(json.loads(self.text)["error"]["code"])


@dataclass
class Visitor:
    """A browser that is sent from one server to another, and keeps each one's cookies."""

    base_url: str
    jar: dict[str, str] = field(default_factory=dict)

    def get(self, url: str) -> Answer:
        """One request, by an address or by a path of the server; cookies go to the server only."""
        parts = urlsplit(url if "://" in url else self.base_url + url)
        mine = parts.netloc == urlsplit(self.base_url).netloc
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
        try:
            cookies = "; ".join(f"{name}={value}" for name, value in self.jar.items())
            headers = {"Cookie": cookies} if mine and cookies else {}
            target = parts.path + (f"?{parts.query}" if parts.query else "")
            connection.request("GET", target, headers={**headers, "Sec-Fetch-Site": "cross-site"})
            reply = connection.getresponse()
            if mine:
                for line in reply.headers.get_all("Set-Cookie") or []:
                    name, _, value = line.partition(";")[0].partition("=")
                    self.jar.pop(name, None)
                    if "Max-Age=0" not in line:
                        self.jar[name] = value
            return Answer(reply.status, reply.headers.get("Location", ""), reply.read().decode())
        finally:
            connection.close()

    def begin(self, name: str) -> str:
        """Begins to sign in; the address the provider sends the browser back to."""
        begun = self.get(f"/account/oidc/{name}/start")
        assert begun.status == 303, begun.text
        there = self.get(begun.location)
        assert there.status == 302, there.text
        return there.location

    def sign_in(self, name: str) -> Answer:
        """There and back."""
        return self.get(self.begin(name))

    def browser(self) -> Browser:
        """The same browser at the server's own pages."""
        cookies = "; ".join(f"{name}={value}" for name, value in self.jar.items())
        browser = Browser(self.base_url, cookie=cookies or None)
        shown = browser.get("/account/session")
        if shown.status == 200:
            browser.email, browser.person_id = shown.json["person"]["email"], shown.json["person"]["id"]
            browser.organization = shown.json["organizations"][0]["id"]
        return browser
