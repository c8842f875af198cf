"""A server that takes no payments: what it answers, and what it does not have in memory."""

import json
import subprocess
import sys
from pathlib import Path

from people_calls import send
from servers import TesseraServer, clean_environment, running_server, tessera
from tessera.adapters.storage.money.vouchers import REDEEM
from tessera.adapters.storage.postgres.connection import translated


def test_live_top_ups_say_that_there_is_no_stripe_and_test_ones_are_credited_at_once(server: TesseraServer) -> None:
    live, test = server.account(mode="live"), server.account(mode="test")
    body = {"amount": "25.00"}
    headers = {"Authorization": f"Bearer {live.key}", "Idempotency-Key": "k"}
    refused = send(server.base_url, "POST", "/v1/topups", body, headers)
    assert (refused.status, refused.code, refused.headers["x-should-retry"]) == (503, "payments_unavailable", "false")
    headers = {"Authorization": f"Bearer {test.key}", "Idempotency-Key": "k"}
    for _ in range(2):
        given = send(server.base_url, "POST", "/v1/topups", body, headers)
        assert (given.status, given.json["status"]) == (200, "paid")
    balance = send(server.base_url, "GET", "/v1/balance", None, headers).json
    assert balance["available"] == "125.00"


def test_stripes_library_and_the_printer_are_imported_only_when_they_are_used() -> None:
    modules = "tessera.bootstrap, tessera.bootstrap.money, tessera.http.app, tessera.adapters.storage.money.store"
    heavy = "{'stripe', 'requests', 'reportlab'} & set(sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", f"import sys, {modules}; print({heavy})"],
        capture_output=True,
        text=True,
        check=True,
        env=clean_environment(),
    )
    assert done.stdout.strip() == "set()"


def test_a_key_of_the_other_mode_or_a_secret_twice_stops_the_start_and_is_not_shown(tmp_path: Path) -> None:
    config = tmp_path / "tessera.toml"
    data = str(tmp_path / "data")
    for lines, environment, word in (
        ('stripe_key = "env:K"', {"K": "sk_test_secret"}, "payments.stripe_key"),
        ('stripe_test_key = "env:K"', {"K": "sk_live_secret"}, "payments.stripe_test_key"),
        ('stripe_key = "env:NONE"', {}, "payments.stripe_key"),
        ('stripe_webhook_secrets = ["env:K", "env:L"]', {"K": "whsec_secret", "L": "whsec_secret"}, "twice"),
        ('stripe_webhook_secrets = ["env:A", "env:B", "env:C"]', {}, "at most two"),
        ('stripe_key = "sk_live_secret"', {}, "payments.stripe_key"),
        ('topup_min = "10"\ntopup_max = "5"', {}, "payments.topup_min"),
        ("automatic_seconds = 0", {}, "payments.automatic_seconds"),
    ):
        config.write_text(f"[payments]\n{lines}\n")
        done = tessera(*("serve", "--port", "0", "--config", str(config), "--data", data), check=False, env=environment)
        assert done.returncode == 2, done.stderr
        assert word in done.stderr
        assert "_secret" not in done.stderr.replace("webhook_secrets", "")


def test_t8_a_voucher_is_counted_by_one_conditional_statement_on_both_databases() -> None:
    for statement in (REDEEM, translated(REDEEM)):
        words = " ".join(statement.split())
        assert words.startswith("UPDATE voucher SET redemptions = redemptions + 1 WHERE id = ")
        assert "AND redemptions < redemptions_max AND revoked_at IS NULL AND" in words


def test_t1_a_secret_that_is_empty_stops_the_start_instead_of_signing_everything(tmp_path: Path) -> None:
    config = tmp_path / "tessera.toml"
    config.write_text('[payments]\nstripe_webhook_secrets = ["env:EMPTY"]\n')
    arguments = ("serve", "--port", "0", "--config", str(config), "--data", str(tmp_path / "data"))
    for value in ("", "  "):
        done = tessera(*arguments, check=False, env={"EMPTY": value})
        assert done.returncode == 2
        assert "holds no credential" in done.stderr


def test_top_ups_work_on_postgresql_too(tmp_path: Path, database_url: str) -> None:
    with running_server(tmp_path, config=f'database = "{database_url}"') as server:
        config = ("--config", str(tmp_path / "tessera.toml"), "--data", str(server.data_dir), "--json")
        tessera("orgs", "create", "acme", *config)
        key = json.loads(tessera("keys", "create", "--org", "acme", "--mode", "test", *config).stdout)["key"]
        headers = {"Authorization": f"Bearer {key}", "Idempotency-Key": "k"}
        for _ in range(2):
            given = send(server.base_url, "POST", "/v1/topups", {"amount": "25.00"}, headers)
            assert given.json["status"] == "paid"
        code = json.loads(tessera("vouchers", "create", "--mode", "test", "--amount", "1.00", *config).stdout)["code"]
        redeemed = send(server.base_url, "POST", "/v1/vouchers/redeem", {"code": code}, headers)
        assert redeemed.status == 200
        assert send(server.base_url, "GET", "/v1/balance", None, headers).json["available"] == "126.00"
        verified = tessera("verify", *config)
        assert json.loads(verified.stdout)["ok"]
