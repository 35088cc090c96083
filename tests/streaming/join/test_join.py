"""The join: which feedback an outcome holds, whatever the interleaving of the two logs."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from everfresh.contracts.event import UserId
from everfresh.contracts.exposure import Exposure
from everfresh.streaming.join import join
from everfresh.streaming.join.matching import StoredFeedback
from everfresh.streaming.join.rows import JOIN_KEY, decode_feedback, request_of
from everfresh.streaming.state.write_batch import WriteBatch
from tests.streaming.expected_joins import Entry, expected_outcomes
from tests.streaming.join.joined_by_hand import (
    FAR,
    HORIZON,
    Run,
    add_feedback,
    exposed,
    named,
)
from tests.streaming.sample_log import LogRecord


def test_an_outcome_holds_the_exposure_and_its_feedback_in_log_order() -> None:
    run = Run()
    run.add_exposures(exposed(4, 1000))
    run.add_feedback(named(7, 1001, item="2"), named(9, 1001 + 50, item=99))
    run.write_outcomes(1000 + HORIZON)
    assert not run.outcomes
    run.write_outcomes(1000 + HORIZON + 1)
    (outcome,) = run.outcomes.values()
    assert (outcome.id, outcome.appended, outcome.horizon_ms) == ("0-4", 1000, HORIZON)
    assert outcome.exposure == msgspec.json.decode(exposed(4, 1000).value or b"", type=Exposure)
    assert [(f.offset, f.item_id, f.position) for f in outcome.feedback] == [
        (7, "2", 2),
        (9, 99, None),
    ]
    assert run.counts == {"exposures": 1, "outcomes": 1, "not_shown": 1}


def test_an_exposure_without_feedback_has_an_empty_outcome() -> None:
    run = Run()
    run.add_exposures(exposed(0, 1000))
    run.write_outcomes(FAR)
    assert [outcome.feedback for outcome in run.outcomes.values()] == [[]]


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        (-HORIZON - 1, "unmatched"),
        (-HORIZON, "joined"),
        (0, "joined"),
        (HORIZON, "joined"),
        (HORIZON + 1, "late_feedback"),
        (2 * HORIZON, "late_feedback"),
        (2 * HORIZON + 1, "unmatched"),
    ],
)
def test_feedback_is_joined_late_or_unmatched_by_its_append_time(after: int, expected: str) -> None:
    run = Run()
    run.add_feedback(named(0, 1000 + after))
    run.add_exposures(exposed(0, 1000))
    run.write_outcomes(FAR)
    joined = len(run.outcomes["0-0"].feedback)
    assert (joined, run.counts[expected]) == ((1, 0) if expected == "joined" else (0, 1))


def test_the_same_request_id_of_another_user_is_another_request() -> None:
    run = Run()
    run.add_exposures(exposed(0, 1000, user=7), exposed(1, 1000, user="7"))
    run.add_feedback(named(0, 1000, user="7"))
    run.write_outcomes(FAR)
    assert {name: len(outcome.feedback) for name, outcome in run.outcomes.items()} == {
        "0-0": 0,
        "0-1": 1,
    }


def test_of_repeated_exposures_the_first_counts_and_the_others_become_dead_letters() -> None:
    run = Run()
    run.add_exposures(exposed(0, 1000), exposed(1, 1001))
    run.add_exposures(exposed(2, 1000 + 2 * HORIZON), exposed(3, 1001 + 2 * HORIZON))
    run.write_outcomes(FAR)
    assert set(run.outcomes) == {"0-0", "0-3"}
    assert run.dead_letters == [("repeated_request", 1), ("repeated_request", 2)]


def test_what_is_no_exposure_becomes_a_dead_letter() -> None:
    run = Run()
    good = exposed(3, 1000)
    run.add_exposures(
        LogRecord(0, 1000, b"7", b"{oops"),
        LogRecord(1, 1000, b"8", good.value),
        LogRecord(
            2, 1000, str(2**70).encode(), (good.value or b"").replace(b":7,", b":%d," % 2**70)
        ),
        LogRecord(3, 1000, b"7", (good.value or b"").replace(b'"arm":"', b'"arm":"\xff')),
        LogRecord(4, 1000, b"7", b"[" * 100_000),
        LogRecord(5, 1000, b"7", None),
        LogRecord(6, 1000, b"7", good.value),
    )
    assert run.dead_letters == [("bad_exposure", offset) for offset in range(6)]
    assert run.counts["exposures"] == 1


def test_an_exposure_read_again_changes_nothing() -> None:
    run = Run()
    for _ in range(2):
        run.add_exposures(exposed(0, 1000))
    assert (run.counts["exposures"], run.dead_letters) == (1, [])


def test_more_feedback_than_an_outcome_holds_is_counted() -> None:
    run = Run()
    run.add_exposures(exposed(0, 1000))
    run.add_feedback(*(named(offset, 1000) for offset in range(1003)))
    run.write_outcomes(FAR)
    assert len(run.outcomes["0-0"].feedback) == 1000
    assert run.counts["surplus_feedback"] == 3


def test_many_that_are_due_at_once_are_decided_in_steps() -> None:
    run = Run()
    run.add_exposures(*(exposed(number, 1000, f"r{number}") for number in range(300)))
    run.join.advance(FAR, FAR)
    steps = 0
    while (batch := run.join.write_outcomes()) is not None:
        run.write(batch)
        run.reopen()
        run.join.advance(FAR, FAR)
        steps += 1
    assert steps > 2
    assert len(run.outcomes) == run.counts["outcomes"] == 300


@pytest.mark.parametrize("shown", [False, True])
def test_looking_at_a_request_costs_as_much_as_it_has_events(
    shown: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client's session id, say, while the clock moves on with every event."""
    decoded = []

    def counted(row: bytes) -> StoredFeedback:
        decoded.append(row)
        return decode_feedback(row)

    monkeypatch.setattr(join, "decode_feedback", counted)
    events = 500
    run = Run()
    if shown:
        run.add_exposures(exposed(0, 1000))
    for at in range(events):
        run.add_feedback(named(at, 1000 + at))
        run.write_outcomes(1000 + at)
    run.write_outcomes(FAR)
    assert set(run.store.pairs) == {JOIN_KEY}
    assert len(decoded) <= 3 * events


def test_nothing_stays_after_three_horizons() -> None:
    run = Run()
    run.add_exposures(exposed(0, 1000), exposed(1, 1000, "other"))
    run.add_feedback(named(0, 1000), named(1, 1000, "never shown"), named(2, 1250))
    run.write_outcomes(1000 + 3 * HORIZON)
    assert len(run.store.pairs) > 1
    run.write_outcomes(1000 + 4 * HORIZON)
    assert set(run.store.pairs) == {JOIN_KEY}


def test_a_request_hash_tells_users_and_requests_apart() -> None:
    pairs: list[tuple[UserId, str]] = [(7, "a"), ("7", "a"), ("7a", ""), ("7", "ab"), (7, "\ud800")]
    assert len({request_of(*pair) for pair in pairs}) == len(pairs)


def test_a_changed_horizon_leaves_nothing_behind() -> None:
    for horizon in (1, 5 * HORIZON):
        run = Run()
        run.add_exposures(exposed(0, 1000))
        run.add_feedback(named(0, 1001), named(1, 1001, "never shown"))
        run.horizon = horizon
        run.reopen()
        run.write_outcomes(FAR)
        assert set(run.outcomes) == {"0-0"}
        assert set(run.store.pairs) == {JOIN_KEY}


_steps = st.sampled_from([0, 1, 30, HORIZON - 1, HORIZON, HORIZON + 1, 2 * HORIZON, -40])
_users: st.SearchStrategy[UserId] = st.sampled_from([7, 7, 7, "7"])
_requests = st.sampled_from(["a", "a", "b"])
_entries = st.lists(st.tuples(_steps, _users, _requests), min_size=1, max_size=12)
_actions = st.lists(
    st.tuples(st.sampled_from(["feedback", "exposures"]), st.integers(1, 3), st.booleans()),
    max_size=20,
)


@settings(max_examples=300)
@given(exposures=_entries, events=_entries, actions=_actions, dies=st.booleans())
def test_outcomes_follow_from_the_logs_whatever_the_interleaving(
    exposures: list[tuple[int, UserId, str]],
    events: list[tuple[int, UserId, str]],
    actions: list[tuple[str, int, bool]],
    dies: bool,
) -> None:
    """Any split, any interleaving, deaths before any write: the same outcomes."""
    shown = [
        exposed(at, ms, request, user) for at, (ms, user, request) in enumerate(_times(exposures))
    ]
    feedback = list(_times(events))
    run = Run()
    whole = [("exposures", len(shown), True), ("feedback", len(feedback), True)]
    for action, number, survives in [*actions, *whole]:
        for step in (action, "outcomes"):
            batch = _step(run, shown, feedback, step, number)
            if dies and not survives:
                run.reopen()
            elif batch is not None:
                run.write(batch)
    run.write_outcomes(FAR)
    expected, counts = expected_outcomes(_entries_of(exposures), _entries_of(events), HORIZON)
    assert {
        int(name.partition("-")[2]): [each.offset for each in outcome.feedback]
        for name, outcome in run.outcomes.items()
    } == expected
    for name in ("late_feedback", "unmatched"):
        assert run.counts[name] == counts[name]
    assert set(run.store.pairs) == {JOIN_KEY}


def _entries_of(log: list[tuple[int, UserId, str]]) -> list[Entry]:
    return [
        Entry(at, ms, (type(user), user, request))
        for at, (ms, user, request) in enumerate(_times(log))
    ]


def _step(
    run: Run,
    shown: list[LogRecord],
    feedback: list[tuple[int, UserId, str]],
    action: str,
    number: int,
) -> WriteBatch | None:
    head = run.join.head
    if action == "outcomes":
        return run.join.write_outcomes()
    if action == "exposures":
        return run.join.add_exposures(shown[head.exposures : head.exposures + number])
    end = min(head.events + number, len(feedback))
    events = [
        named(at, feedback[at][0], feedback[at][2], feedback[at][1])
        for at in range(head.events, end)
    ]
    return add_feedback(run.join, events, end)


def _times(entries: list[tuple[int, UserId, str]]) -> Iterator[tuple[int, UserId, str]]:
    now = 10_000
    for step, user, request in entries:
        now += step
        yield now, user, request
