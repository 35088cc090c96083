"""A replay goes on where an earlier one of the same file stopped."""

from __future__ import annotations

from pathlib import Path

from everfresh.contracts.event import Event
from everfresh.streaming.replay.marks import EVERY, ReplayMark

EVENTS = [Event(f"e{number}", "view", number, 7, number) for number in range(6)]


def mark(folder: Path, log: str = "cluster/topic", file: str = "events.csv") -> ReplayMark:
    return ReplayMark(folder / "replays", folder / file, log)


def sent(folder: Path, events: list[Event]) -> None:
    one = mark(folder)
    for event in events:
        one.note(event)
    one.write()


def test_a_replay_goes_on_where_the_last_one_of_the_file_stopped(tmp_path: Path) -> None:
    sent(tmp_path, EVENTS[:4])
    before, rest = mark(tmp_path).unsent(EVENTS, 6)
    assert (before, list(rest)) == (4, EVENTS[4:])


def test_what_was_sent_whole_is_not_sent_again_and_a_longer_copy_from_its_new_end(
    tmp_path: Path,
) -> None:
    sent(tmp_path, EVENTS)
    assert [(n, list(rest)) for n, rest in [mark(tmp_path).unsent(EVENTS, 6)]] == [(6, [])]
    longer = [*EVENTS, Event("e9", "view", 9, 7, 9)]
    assert [list(mark(tmp_path).unsent(longer, 7)[1])] == [longer[6:]]


def test_after_going_on_the_mark_counts_from_the_beginning(tmp_path: Path) -> None:
    sent(tmp_path, EVENTS[:2])
    one = mark(tmp_path)
    for event in list(one.unsent(EVENTS, 6)[1])[:2]:
        one.note(event)
    one.write()
    assert mark(tmp_path).unsent(EVENTS, 6)[0] == 4


def test_a_file_that_begins_otherwise_another_log_or_a_shorter_file_is_sent_whole(
    tmp_path: Path,
) -> None:
    sent(tmp_path, EVENTS[:4])
    other = [Event("other", "view", 0, 7, 0), *EVENTS[1:]]
    assert mark(tmp_path).unsent(other, 6)[0] == 0
    assert list(mark(tmp_path).unsent(other, 6)[1]) == other
    assert mark(tmp_path, log="cluster/anew").unsent(EVENTS, 6)[0] == 0
    assert mark(tmp_path, file="other.csv").unsent(EVENTS, 6)[0] == 0
    assert mark(tmp_path).unsent(EVENTS, 3)[0] == 0


def test_where_the_log_is_not_known_there_is_no_mark(tmp_path: Path) -> None:
    one = mark(tmp_path, log="")
    one.note(EVENTS[0])
    one.write()
    assert not (tmp_path / "replays").exists()
    assert one.unsent(EVENTS, 6)[0] == 0


def test_a_mark_that_is_damaged_or_forgotten_is_none(tmp_path: Path) -> None:
    sent(tmp_path, EVENTS[:4])
    mark(tmp_path).forget()
    assert mark(tmp_path).unsent(EVENTS, 6)[0] == 0
    sent(tmp_path, EVENTS[:4])
    (file,) = (tmp_path / "replays").iterdir()
    file.write_bytes(b'{"sent": 4')
    assert mark(tmp_path).unsent(EVENTS, 6)[0] == 0


def test_it_is_time_to_write_a_mark_now_and_then(tmp_path: Path) -> None:
    one = mark(tmp_path)
    times = [number for number in range(1, 2 * EVERY + 1) if one.note(EVENTS[0])]
    assert times == [EVERY, 2 * EVERY]


def test_a_mark_says_where_all_events_of_the_file_stand_also_after_going_on(tmp_path: Path) -> None:
    one = mark(tmp_path)
    for offset, event in enumerate(EVENTS[:4]):
        one.note(event)
        one.span.note(offset % 2, 10 + offset)
    one.write()
    again = mark(tmp_path)
    for event in again.unsent(EVENTS, 6)[1]:
        again.note(event)
        again.span.note(0, 40)
    again.write()
    whole = mark(tmp_path)
    assert whole.unsent(EVENTS, 6)[0] == 6
    assert (whole.span.starts, whole.span.ends) == ({0: 10, 1: 11}, {0: 41, 1: 14})
