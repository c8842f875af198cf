"""A new password against who is signing in, or changing it, with the old one at that moment."""

import threading
from concurrent.futures import ThreadPoolExecutor

from people_calls import PASSWORD, Browser, People

NEW_PASSWORD, EVIL_PASSWORD = "a different passphrase", "mallory was here first"
THIEVES = 8


def test_nobody_who_knew_the_old_password_is_signed_in_after_a_reset(people: People) -> None:
    ada = people.newcomer()
    ada.post("/account/password/forget", {"email": ada.email})
    token = people.mail.token_to(ada.email, "password")
    over, began = threading.Event(), threading.Barrier(THIEVES + 1)
    browsers: list[Browser] = []

    def keep_signing_in() -> None:
        began.wait()
        while not over.is_set():
            thief = people.browser(ada.email)
            if thief.sign_in().status == 200:
                browsers.append(thief)

    with ThreadPoolExecutor(THIEVES) as threads:
        thieves = [threads.submit(keep_signing_in) for _ in range(THIEVES)]
        began.wait()
        reset = people.browser().post("/account/password/reset", {"token": token, "password": NEW_PASSWORD})
        over.set()
        for thief in thieves:
            thief.result()
    assert reset.status == 200
    assert [one for one in browsers if one.get("/account/session").status == 200] == []
    assert people.browser(ada.email).sign_in(NEW_PASSWORD).status == 200


def test_a_thief_does_not_set_a_password_over_the_owners_new_one(people: People) -> None:
    ada = people.newcomer()
    thief = people.browser(ada.email)
    assert thief.sign_in().status == 200

    def steal(_: int) -> int:
        stolen = Browser(people.base_url, cookie=thief.cookie, csrf=thief.csrf)
        return stolen.post("/account/password", {"password": PASSWORD, "new_password": EVIL_PASSWORD}).status

    with ThreadPoolExecutor(THIEVES + 1) as threads:
        changed = threads.submit(ada.post, "/account/password", {"password": PASSWORD, "new_password": NEW_PASSWORD})
        stolen = list(threads.map(steal, range(THIEVES)))
    # Whoever was first has it; nobody has it over who was first.
    assert (changed.result().status == 200) != (200 in stolen)
    right = NEW_PASSWORD if changed.result().status == 200 else EVIL_PASSWORD
    assert people.browser(ada.email).sign_in(right).status == 200
