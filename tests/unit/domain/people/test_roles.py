"""The one table of what each role may do."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.people.roles import RIGHTS, Right, Role, check_acts_on, check_grant, parse_role, require

roles = st.sampled_from(list(Role))


def refused(check: object, *arguments: object) -> bool:
    assert callable(check)
    try:
        check(*arguments)
    except TesseraError as error:
        return error.code is ErrorCode.PERMISSION_DENIED
    return False


def test_every_role_stands_in_the_table_and_the_owner_has_every_right() -> None:
    assert set(RIGHTS) == set(Role)
    assert RIGHTS[Role.OWNER] == frozenset(Right)
    assert all(RIGHTS[role] < RIGHTS[Role.OWNER] for role in Role if role is not Role.OWNER)


def test_the_table_is_what_the_documents_promise() -> None:
    may = {role: {right.value for right in RIGHTS[role]} for role in Role}
    read = {"organization.read", "members.read", "projects.read", "usage.read"}
    assert may[Role.VIEWER] == read
    assert may[Role.BILLING] == read | {"money.read", "money.change"}
    assert may[Role.DEVELOPER] == read | {"keys.read", "keys.change", "money.read"}
    assert {right.value for right in Right} - may[Role.ADMIN] == {"organization.export", "organization.delete"}


@given(roles, roles)
def test_nobody_gives_a_right_they_do_not_have(mine: Role, given_role: Role) -> None:
    assert refused(check_grant, RIGHTS[mine], given_role) == (not RIGHTS[given_role] <= RIGHTS[mine])


@given(roles, roles)
def test_nobody_acts_on_an_equal_or_on_somebody_above(mine: Role, target: Role) -> None:
    assert refused(check_acts_on, RIGHTS[mine], target) == (not RIGHTS[target] < RIGHTS[mine])
    if mine is target:
        assert refused(check_acts_on, RIGHTS[mine], target)


@given(roles, st.sampled_from(list(Right)))
def test_what_is_not_in_the_table_is_denied(role: Role, right: Right) -> None:
    assert refused(require, RIGHTS[role], right) == (right not in RIGHTS[role])
    assert refused(require, frozenset(), right)


@pytest.mark.parametrize("text", ["", "Owner", "root", "owner "])
def test_an_unknown_role_is_refused_by_name(text: str) -> None:
    with pytest.raises(TesseraError) as caught:
        parse_role(text)
    assert (caught.value.code, caught.value.param) == (ErrorCode.INVALID_REQUEST, "role")
