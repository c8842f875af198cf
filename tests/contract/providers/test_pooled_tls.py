"""Whom the client's own connections trust."""

import ssl
from pathlib import Path
from typing import Any

import pytest

from contract.providers.certificates import certificate, contexts
from contract.providers.plain_server import JSON, LIMITS, Plain, call, outcome, run, serving
from tessera.adapters.providers.openai.pool import PooledConnections
from tessera.domain.errors import ErrorCode

__all__ = ["certificate", "run"]


def test_the_host_is_named_and_only_http_1_1_is_spoken(run: Any, certificate: Path) -> None:
    async def test() -> None:
        server, client = contexts(certificate)
        named: list[str | None] = []
        server.sni_callback = lambda _tls, name, _context: named.append(name)
        plain = Plain([JSON])
        async with serving(plain, server) as address:
            pool = PooledConnections(address.replace("127.0.0.1", "localhost"), LIMITS, client)
            for _ in range(3):
                assert await call(pool, (b"a" * 2_000_000,)) == (200, b'{"a": 1}')
            assert plain.connections == 1
            assert (plain.protocols, named) == (["http/1.1"], ["localhost"])
            await pool.close()

    run(test)


def test_a_certificate_for_another_name_is_refused(run: Any, certificate: Path) -> None:
    async def test() -> None:
        server, client = contexts(certificate)
        plain = Plain([JSON])
        async with serving(plain, server) as address:
            pool = PooledConnections(address.replace("127.0.0.1", "127.0.0.2"), LIMITS, client)
            assert await outcome(pool) is ErrorCode.PROVIDER_ERROR
            assert plain.requests == 0

    run(test)


def test_a_context_that_accepts_any_certificate_is_refused() -> None:
    careless = ssl.create_default_context()
    careless.check_hostname = False
    with pytest.raises(ValueError, match="verified"):
        PooledConnections("https://host/v1", LIMITS, careless)
