"""A server that takes payments at the stand-in of Stripe, and top-ups through its front door."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from people_calls import Reply, send
from servers import Account, TesseraServer, running_server
from stripe_stand_in import StripeStandIn

WAIT_SECONDS_MAX = 30


@dataclass
class Shop:
    """A server and the payment service beside it."""

    server: TesseraServer
    stripe: StripeStandIn

    def account(self, mode: str = "live", credit: str | None = None) -> Account:
        return self.server.account(mode=mode, credit=credit)

    def call(self, account: Account, method: str, path: str, body: object = None, **headers: str) -> Reply:
        """A request with an account's key."""
        sent = {"Authorization": f"Bearer {account.key}"}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        return send(self.server.base_url, method, path, body, sent)

    def topup(self, account: Account, amount: str = "25.00", key: str | None = None, **fields: Any) -> dict[str, Any]:
        """Asks for a top-up; its object."""
        key = key or f"key {time.monotonic_ns()}"
        reply = self.call(account, "POST", "/v1/topups", {"amount": amount, **fields}, Idempotency_Key=key)
        assert reply.status == 200, reply.text
        return dict(reply.json)

    def session_of(self, topup: dict[str, Any]) -> dict[str, Any]:
        """The page that a top-up is paid at."""
        return next(one for one in self.stripe.sessions if one["client_reference_id"] == topup["id"])

    def bought(self, account: Account, amount: str = "25.00", **fields: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """A top-up that was paid and told of; it, and its payment."""
        topup = self.topup(account, amount, **fields)
        session = self.session_of(topup)
        payment = self.stripe.pay(session)
        told = self.stripe.send(self.server, "checkout.session.completed", session)
        assert told.json["outcome"] == "applied", told.text
        return self.show(account, topup), payment

    def show(self, account: Account, topup: dict[str, Any]) -> dict[str, Any]:
        return dict(self.call(account, "GET", f"/v1/topups/{topup['id']}").json)

    def available(self, account: Account) -> str:
        """What an account can spend, in USD."""
        return str(self.call(account, "GET", "/v1/balance").json["available"])

    def eventually(self, account: Account, amount: str) -> None:
        """Waits until an account can spend this."""
        deadline = time.monotonic() + WAIT_SECONDS_MAX
        while self.available(account) != amount:
            assert time.monotonic() < deadline, self.available(account)
            time.sleep(0.05)


def running_shop(folder: Any, more: str = "", *, test_mode: bool = True, top: str = "") -> Iterator[Shop]:
    """A server that takes payments, for the time of a block; its ledger must be whole at the end."""
    with (
        StripeStandIn() as stripe,
        running_server(
            folder, config=top + stripe.config(more, test_mode=test_mode), env=stripe.environment()
        ) as server,
    ):
        yield Shop(server, stripe)
        server.verify()


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """One server that takes payments, for the tests of a module."""
    yield from running_shop(tmp_path_factory.mktemp("shop"))
