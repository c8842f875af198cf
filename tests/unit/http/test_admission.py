"""How many requests are let in, on a clock that is turned and a processor that is made up."""

from collections import deque
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from tessera.http.admission import CALLS_MIN, LATE_SECONDS_MAX, QUIET_SECONDS, Admission, equal_share

CALL_SECONDS, REFUSAL_SECONDS = 0.0004, 0.000016
"""What a call takes of the processor, and what refusing one does."""
STEPS = 8
"""How many turns of the loop a call takes."""
CROWD = 1600


@dataclass
class Model:
    """An event loop that a call passes in `STEPS` turns, sent so many times what it can do."""

    times: float
    admission: Admission = field(default_factory=Admission)
    now: float = 0.0
    sent: int = 0
    refused: int = 0
    good: int = 0
    late_s: list[float] = field(default_factory=list)

    def run(self, seconds: float) -> "Model":
        admission, end = self.admission, self.now + seconds
        looked_at, due_at, done = self.now, self.now + 0.05, 0
        calls: deque[tuple[int, float]] = deque()
        began, first = self.now, self.sent
        while self.now < end:
            if self.now >= due_at:
                late = self.now - due_at
                admission.look(self.now - looked_at, late, len(calls), done, crowded=len(calls) >= CROWD)
                self.late_s.append(late)
                looked_at, done = self.now, 0
                due_at = self.now + (0.01 if admission.limiting else 0.05)
            spent = 0.00002
            for step, sent_at in [calls.popleft() for _ in range(len(calls))]:
                spent += CALL_SECONDS / STEPS
                if step + 1 < STEPS:
                    calls.append((step + 1, sent_at))
                else:
                    done += 1
                    self.good += self.now + spent - sent_at <= 2
            while self.times and began + (self.sent - first) * CALL_SECONDS / self.times <= self.now:
                self.sent += 1
                if admission.admit("all"):
                    calls.append((0, self.now))
                else:
                    self.refused += 1
                    spent += REFUSAL_SECONDS
            self.now += spent
        return self


def test_what_the_processor_can_do_is_let_in() -> None:
    model = Model(0.9).run(5)
    assert model.refused == 0
    assert not model.admission.limiting


def test_at_five_times_what_it_can_do_nearly_as_much_is_done_as_ever() -> None:
    model = Model(5).run(6)
    assert model.good * CALL_SECONDS / 6 >= 0.8
    assert model.good + model.refused > 0.95 * model.sent
    settled = model.late_s[len(model.late_s) // 2 :]
    assert max(settled) < 3 * LATE_SECONDS_MAX


def test_the_load_may_change_at_any_time_and_everything_is_let_in_again_when_it_is_gone() -> None:
    model = Model(1)
    for times in (3, 1.5, 8, 2):
        model.times, before = times, model.good
        model.run(4)
        assert (model.good - before) * CALL_SECONDS / 4 >= 0.6, times
    model.times = 0.3
    model.run(QUIET_SECONDS + 2)
    assert not model.admission.limiting


def test_a_burst_is_let_in_whole() -> None:
    admission = Admission()
    admission.look(0.05, 0.0, 0, 0, crowded=False)
    assert all(admission.admit("all") for _ in range(1500))
    admission.look(0.65, 0.6, 1500, 100, crowded=False)
    assert admission.admit("all")


def test_a_crowd_is_no_burst() -> None:
    admission = Admission()
    admission.look(0.05, 0.0, CROWD, 0, crowded=True)
    assert not admission.limiting
    admission.look(0.15, 0.1, CROWD, 0, crowded=True)
    assert admission.limiting
    assert sum(admission.admit("all") for _ in range(1000)) < 100


def test_a_few_requests_are_let_in_however_late_the_loop_is() -> None:
    admission = limiting()
    admission.look(0.01, 10.0, CALLS_MIN - 5, 0, crowded=False)
    assert 5 <= sum(admission.admit("all") for _ in range(20)) <= 8


def limiting(rate: float = 1000.0) -> Admission:
    """One that refuses, and lets so many in each second."""
    admission = Admission()
    admission.look(1.0, 1.0, 500, round(rate), crowded=True)
    assert admission.limiting
    admission.rate = rate
    return admission


def admitted(admission: Admission, asked: dict[str, int]) -> dict[str, int]:
    """How many of each owner's are let in when all ask in turn."""
    found = dict.fromkeys(asked, 0)
    for place in range(max(asked.values())):
        for owner, count in asked.items():
            found[owner] += place < count and admission.admit(owner)
    return found


def test_who_asks_for_less_than_a_share_is_refused_nothing_beside_a_flood() -> None:
    admission = limiting()
    asked = {"flood": 1000, "one": 10, "other": 25}
    found = dict.fromkeys(asked, 0)
    for _ in range(20):
        admission.look(0.1, LATE_SECONDS_MAX / 2, 500, 100, crowded=False)
        admission.rate = 1000.0
        for owner, count in admitted(admission, asked).items():
            found[owner] += count
    assert found["one"] == 20 * 10
    assert found["other"] == 20 * 25
    assert 0.8 * 20 * 65 <= found["flood"] <= 20 * 100


def test_who_was_not_seen_before_is_let_in_although_a_flood_has_taken_everything() -> None:
    admission = limiting()
    for _ in range(2):
        admission.look(0.1, 0.0, 500, 100, crowded=False)
        assert not all(admission.admit("flood") for _ in range(1000))
    assert admission.admit("new")


def test_two_floods_get_the_same() -> None:
    admission = limiting()
    for _ in range(2):
        admission.look(0.1, 0.0, 500, 100, crowded=False)
        admission.rate = 1000.0
        found = admitted(admission, {"one": 500, "other": 800})
    assert found["one"] == found["other"] > 0


@given(st.lists(st.integers(0, 1000), max_size=50), st.floats(0, 5000))
def test_equal_shares_give_away_what_there_is_and_no_more(asked: list[int], amount: float) -> None:
    share = equal_share(asked, amount)
    taken = sum(min(one, share) for one in asked)
    assert taken <= amount + 1e-6
    assert abs(taken - min(amount, sum(asked))) < 1e-6


LOOKS = st.tuples(
    st.floats(0.001, 5), st.floats(-0.01, 5), st.integers(0, 5000), st.integers(0, 5000), st.integers(0, 60)
)


@given(st.lists(LOOKS, max_size=60))
def test_whatever_the_clock_shows_no_more_is_let_in_than_was_dealt(
    looks: list[tuple[float, float, int, int, int]],
) -> None:
    admission = Admission()
    for elapsed, late, calls, done, owners in looks:
        admission.look(elapsed, late, calls, done, crowded=calls > 1600)
        if not admission.limiting:
            assert admission.admit("any")
            continue
        assert admission.rate >= 1
        most = max(admission.rate * elapsed, CALLS_MIN - calls, 0.0)
        let_in = sum(admission.admit(owner) for owner in range(owners) for _ in range(3))
        assert let_in <= 1.5 * most + 2
