"""What became of the events of a replay, as a real worker and its dead letters say."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from everfresh.contracts.event import Event
from everfresh.contracts.kafka.security import Brokers
from everfresh.contracts.settings import Settings
from everfresh.contracts.topics import EVENTS
from everfresh.infra.broker.broker import EmbeddedBroker
from everfresh.infra.components import settings_environment
from everfresh.streaming.producer import EventProducer
from everfresh.streaming.replay import settling
from everfresh.streaming.replay.places import EventPlaces
from everfresh.streaming.replay.progress import Outcome, ReplayProgress, decode_progress
from tests.integration.stream_run import PARTITIONS, Stream, stop

pytestmark = pytest.mark.integration


def events(number: int, action: str = "view") -> list[Event]:
    return [Event(f"{action}{n}", action, 1000 + n, n % 9, n) for n in range(number)]


def replay(stream: Stream, sent: Sequence[Event]) -> Outcome:
    prefix = stream.settings.kafka.topic_prefix
    asking, places = settling.Settling(Brokers(stream.servers), prefix), EventPlaces()
    with EventProducer(stream.servers, stream.topic(EVENTS), on_delivered=places.note) as producer:
        for event in sent:
            producer.send(event)
    places.close()
    assert len(places) == len(sent)
    return asking.run(places, lambda outcome: None, lambda: False)


def test_a_replay_knows_what_became_of_its_events(
    kafka: EmbeddedBroker, make_settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    servers = {"bootstrap_servers": kafka.bootstrap_servers, "partitions": PARTITIONS}
    stream = Stream(make_settings(kafka=servers, windows={"seconds": 0.5, "grace_ms": 100}))
    with stream.worker() as worker:
        monkeypatch.setattr(settling, "_STALL_S", 240.0)
        first = replay(stream, events(200) + events(3, "teleport"))
        assert first == Outcome(203, {"unknown_type": 3}, settled=True)
        # A longer file: what it has in common with the one before is there already.
        assert replay(stream, events(250)) == Outcome(250, {"duplicate_id": 200}, settled=True)
        stop(worker)
    monkeypatch.setattr(settling, "_STALL_S", 0.5)
    assert replay(stream, events(20, "click")) == Outcome(0, {}, settled=False)


class FileReplay:
    """A replay of a file in a process of its own."""

    def __init__(self, stream: Stream, file: Path, *options: str) -> None:
        command = [sys.executable, "-m", "everfresh.streaming.replay", str(file), *options]
        env = {**os.environ, **settings_environment(stream.settings)}
        self.process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE)

    def progress(self) -> ReplayProgress:
        """The next line that it writes."""
        assert self.process.stdout is not None
        line = decode_progress(self.process.stdout.readline())
        assert line is not None
        return line

    def end(self) -> ReplayProgress:
        """Its last line."""
        output, _ = self.process.communicate()
        assert self.process.returncode == 0
        last = decode_progress(output.splitlines()[-1])
        assert last is not None
        return last


def test_a_replay_that_was_stopped_goes_on_and_one_that_was_whole_sends_nothing(
    kafka: EmbeddedBroker, make_settings: Callable[..., Settings], tmp_path: Path
) -> None:
    servers = {"bootstrap_servers": kafka.bootstrap_servers, "partitions": PARTITIONS}
    stream = Stream(make_settings(kafka=servers))
    rows = [f"{n % 9},{n},{1_700_000_000 + n},view\n" for n in range(3000)]
    file = tmp_path / "events.csv"
    file.write_text("user_id,item_id,time,type\n" + "".join(rows))

    first = FileReplay(stream, file, "--speed", "200")
    while first.progress().sent < 200:
        pass
    first.process.send_signal(signal.SIGINT)
    stopped = first.end()
    assert not stopped.done
    second = FileReplay(stream, file).end()
    assert (second.before, second.sent, second.done) == (stopped.sent, 3000 - stopped.sent, True)
    third = FileReplay(stream, file).end()
    assert (third.before, third.sent, third.done) == (3000, 0, True)
    with file.open("a") as longer:
        longer.write(f"9,9,{1_700_009_000},view\n")
    assert FileReplay(stream, file).end().sent == 1
    assert len(stream.read(EVENTS)) == 3001
    assert FileReplay(stream, file, "--again").end().sent == 3001


def test_a_backfill_is_cut_by_its_number_and_killed_half_way_it_doubles_nothing(
    kafka: EmbeddedBroker, make_settings: Callable[..., Settings], tmp_path: Path
) -> None:
    servers = {"bootstrap_servers": kafka.bootstrap_servers, "partitions": PARTITIONS}
    windows = {"seconds": 0.5, "grace_ms": 100, "history_events": 300}
    stream = Stream(make_settings(kafka=servers, windows=windows))
    number = 60_000
    rows = [f"{n % 97},{n % 50},{1_600_000_000 + n},view\n" for n in range(number)]
    file = tmp_path / "history.csv"
    file.write_text("user_id,item_id,time,type\n" + "".join(rows))

    first = FileReplay(stream, file, "--window", "600")
    while (line := first.progress()).sent < 25_000 and not line.done:
        pass
    first.process.kill()
    first.process.communicate()
    with stream.worker() as worker:
        second = FileReplay(stream, file, "--window", "600", "--settle").end()
        assert second.done
        assert second.before in (20_000, 40_000, number)
        assert set(second.ends) == set(range(PARTITIONS))
        runs = stream.wait_tiled()
        third = FileReplay(stream, file, "--window", "600").end()
        stop(worker)
    assert (third.before, third.sent) == (number, 0)
    assert (third.starts, third.ends) == (second.starts, second.ends)
    closed = [one for partition in runs.values() for one, _ in partition]
    assert sum(one.events for one in closed) == number
    # What the killed one had sent after its last mark came twice, and was recognised.
    assert sum(one.rejected for one in closed) == len(stream.read(EVENTS)) - number
    assert sum(state.accepted for state in stream.states().values()) == number
    assert max(one.events for one in closed) == 300
    assert any(one.cut for one in closed)
