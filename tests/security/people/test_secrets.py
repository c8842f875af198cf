"""No answer, log, metric or database holds a secret (T23): planted ones are looked for everywhere."""

import time

import pyotp

from people_calls import PASSWORD, Browser, People, send
from people_objects import PEOPLE_ROUTES, Full
from tessera.http.account.table import ACCOUNT_ROUTES
from tessera.http.route import Door

WHOLE = {route.path for route in ACCOUNT_ROUTES}
CANARY = "canary-passphrase-of-the-test"


def test_planted_secrets_are_nowhere_to_be_found(people: People, two_organizations: tuple[Full, Full]) -> None:
    mine, _ = two_organizations
    owner = mine.owner
    secrets = {CANARY, (owner.cookie or "").partition("=")[2], mine.call_key, *mine.admin_keys.values()}
    owner.post("/account/password", {"password": PASSWORD, "new_password": CANARY})
    secrets.add((owner.cookie or "").partition("=")[2])
    started = owner.post("/account/second-factor", {"password": CANARY}).json
    code = pyotp.TOTP(started["secret"]).at(int(time.time()) - 30)
    secrets |= {started["secret"], *owner.post("/account/second-factor/confirm", {"code": code}).json["recovery_codes"]}
    invited = people.new_email()
    owner.post(f"{owner.at()}/invites", {"email": invited, "role": "viewer"})
    secrets.add(people.mail.token_to(invited, "invited"))
    owner.post("/account/password/forget", {"email": owner.email})
    people.browser().post("/account/password/forget", {"email": owner.email})
    secrets.add(people.mail.token_to(owner.email, "new password"))
    provoke(people, owner, mine)

    assert len(secrets) >= 19
    for route in PEOPLE_ROUTES:
        if route.method == "GET":
            path = mine.path(route)
            reply = (
                owner.get(path)
                if route.door is not Door.ADMIN
                else send(people.base_url, "GET", path, None, {"Authorization": f"Bearer {mine.admin_keys['owner']}"})
            )
            # A route that needs a query, or an object that is not there, says so: what it says is looked through too.
            refused = (403,) if route.door is Door.OPERATOR else (400, 404)
            assert reply.status == 200 or (reply.status in refused and route.path not in WHOLE), (path, reply.text)
            assert not [secret for secret in secrets if secret in reply.text], path
    metrics = send(people.base_url, "GET", "/metrics").text
    log = people.server.log.read_text()
    kept = b"".join(path.read_bytes() for path in sorted(people.server.data_dir.glob("tessera.db*")))
    for secret in secrets:
        assert secret not in metrics
        assert secret not in log
        assert secret.encode() not in kept
    assert owner.email.encode() in kept, "the database was really read"


def provoke(people: People, owner: Browser, mine: Full) -> None:
    """Errors that quote what was sent, if anything does."""
    people.browser(owner.email).post("/account/sign-in", {"email": owner.email, "password": [CANARY]})
    people.browser(owner.email).post("/account/sign-in", {"email": owner.email, "password": CANARY, CANARY: 1})
    people.browser(owner.email).sign_in(CANARY + "x")
    send(people.base_url, "GET", f"/v1/organization/users?key={mine.admin_keys['owner']}")
    send(people.base_url, "GET", f"/v1/organization/users/{mine.admin_keys['owner']}")
