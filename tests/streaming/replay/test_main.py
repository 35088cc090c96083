"""What a replay says of itself, with a producer that only pretends."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from everfresh.contracts.errors import DeliveryError
from everfresh.contracts.event import Event
from everfresh.streaming.replay.__main__ import ProgressWriter, send
from everfresh.streaming.replay.marks import ReplayMark
from everfresh.streaming.replay.progress import ReplayProgress, decode_progress

EVENTS = [Event(f"e{number}", "view", number, 7, number) for number in range(5)]


class Producer:
    """Takes ``room`` events, then fails; with ``lost`` the flush fails."""

    def __init__(self, room: int = 100, *, lost: bool = False) -> None:
        self._room = room
        self._lost = lost

    def send(self, event: Event) -> None:
        if not self._room:
            raise DeliveryError("the topic is gone")
        self._room -= 1

    def flush(self) -> None:
        if self._lost:
            raise DeliveryError("2 events did not reach the topic")


def progress_of(total: int) -> ProgressWriter:
    progress = ProgressWriter(0.0, threading.Event())
    progress.begin(total, 0, 0)
    return progress


def test_where_the_events_stand_is_told_once_all_are_in_the_log(
    capsysbinary: pytest.CaptureFixture[bytes],
) -> None:
    mark = ReplayMark(Path("none"), Path("events.csv"), "")
    mark.span.note(3, 17)
    mark.span.note(3, 4)
    send(EVENTS, Producer(), progress_of(5), mark)
    _, first, last = map(decode_progress, capsysbinary.readouterr().out.splitlines())
    assert first is not None
    assert last is not None
    assert (first.starts, first.ends) == ({}, {})
    assert (last.starts, last.ends) == ({3: 4}, {3: 18})


NO_MARK = ReplayMark(Path("none"), Path("events.csv"), "")


def last_line(out: bytes) -> ReplayProgress:
    line = decode_progress(out.splitlines()[-1])
    assert line is not None
    return line


def test_all_sent_is_done(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    send(EVENTS, Producer(), progress_of(5), NO_MARK)
    last = last_line(capsysbinary.readouterr().out)
    assert (last.sent, last.total, last.user, last.done) == (5, 5, 7, True)


def test_a_replay_that_was_stopped_is_not_done(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    send(EVENTS[:3], Producer(), progress_of(5), NO_MARK)
    last = last_line(capsysbinary.readouterr().out)
    assert (last.sent, last.done) == (3, False)


@pytest.mark.parametrize(("producer", "sent"), [(Producer(2), 2), (Producer(lost=True), 5)])
def test_a_replay_that_fails_says_how_many_it_had_sent(
    capsysbinary: pytest.CaptureFixture[bytes], producer: Producer, sent: int
) -> None:
    with pytest.raises(DeliveryError):
        send(EVENTS, producer, progress_of(5), NO_MARK)
    last = last_line(capsysbinary.readouterr().out)
    assert (last.sent, last.done) == (sent, False)


def test_a_replay_that_is_stopped_while_the_file_is_read_ends_at_once() -> None:
    stop = threading.Event()
    progress = ProgressWriter(0.0, stop)
    stop.set()
    with pytest.raises(SystemExit) as ended:
        progress.read(10_000)
    assert ended.value.code == 0
