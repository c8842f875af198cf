"""The second factor: what it is derived from, which step was last used, and recovery codes."""

from tessera.adapters.storage.people.audit_log import record
from tessera.adapters.storage.people.persons import check_session
from tessera.adapters.storage.people.steps import Steps, Store, change, first, rows
from tessera.domain.people.records import Act

_START = """
UPDATE person SET totp_nonce = $2, totp_step = 0
WHERE id = $1 AND totp_confirmed = 0 AND erased_at IS NULL RETURNING id
"""
_CONFIRM = """
UPDATE person SET totp_confirmed = 1, totp_step = $3
WHERE id = $1 AND totp_nonce = $2 AND totp_confirmed = 0 RETURNING id
"""
_USE_STEP = """
UPDATE person SET totp_step = $2 WHERE id = $1 AND totp_confirmed = 1 AND totp_step < $2 RETURNING id
"""
_DROP = """
UPDATE person SET totp_nonce = NULL, totp_confirmed = 0, totp_step = 0 WHERE id = $1 AND totp_confirmed = 1 RETURNING id
"""
_ADD_CODE = "INSERT INTO recovery_code (digest, person_id) VALUES ($1, $2)"
_USE_CODE = "DELETE FROM recovery_code WHERE digest = $1 AND person_id = $2 RETURNING digest"
DROP_CODES = "DELETE FROM recovery_code WHERE person_id = $1"
_END_OTHER_SESSIONS = "DELETE FROM session WHERE person_id = $1 AND id <> $2"


class SecondFactors(Store):
    """A code by time (TOTP) and one-time recovery codes. A code is used at most once."""

    @change
    def start_second_factor(self, person_id: str, nonce: str) -> Steps[bool]:
        """Keeps what a new factor is derived from, until it is confirmed; False if there is a confirmed one."""
        return (yield from first(_START, person_id, nonce)) is not None

    @change
    def confirm_second_factor(
        self, act: Act, nonce: str, step: int, codes: tuple[str, ...], keep_session: str
    ) -> Steps[bool]:
        """Turns the factor on, with the digests of new recovery codes; other sessions end. False: it was on before.
        Raises [not_signed_in]."""
        if (yield from first(_CONFIRM, act.object_id, nonce, step)) is None:
            return False
        yield from check_session(act.actor)
        yield from rows(DROP_CODES, act.object_id)
        for code in codes:
            yield from rows(_ADD_CODE, code, act.object_id)
        yield from rows(_END_OTHER_SESSIONS, act.object_id, keep_session)
        yield from record(self, act)
        return True

    @change
    def use_step(self, person_id: str, step: int) -> Steps[bool]:
        """Uses a time step; False if it or a later one was used before (RFC 6238, 5.2)."""
        return (yield from first(_USE_STEP, person_id, step)) is not None

    @change
    def use_recovery_code(self, act: Act, digest: str) -> Steps[bool]:
        """Uses a recovery code for good; False if it is not one."""
        if (yield from first(_USE_CODE, digest, act.object_id)) is None:
            return False
        yield from record(self, act)
        return True

    @change
    def drop_second_factor(self, act: Act) -> Steps[bool]:
        """Turns the factor off; False if there was none."""
        if (yield from first(_DROP, act.object_id)) is None:
            return False
        yield from rows(DROP_CODES, act.object_id)
        yield from record(self, act)
        return True
