from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from everfresh.adapters.files.checks import event_check
from everfresh.adapters.files.drifting.settings import DriftSettings
from everfresh.adapters.files.drifting.stream import DriftingStream
from everfresh.adapters.files.drifting.writing import summarize, write_stream
from everfresh.adapters.files.opening import open_events
from everfresh.adapters.files.tables.mapping import Reading
from everfresh.contracts.errors import DataFileError, SettingsError
from everfresh.contracts.event import Event
from everfresh.contracts.settings import EventSettings

CHECK = event_check(EventSettings())


def test_a_written_stream_is_read_back_as_it_was_made(tmp_path: Path) -> None:
    stream, file = DriftingStream(DriftSettings(), 300), tmp_path / "drift.jsonl"
    made = write_stream(stream, file, CHECK)
    assert list(open_events(file, Reading(), CHECK).events) == list(stream)
    assert made == summarize(stream.clicks())
    assert made.events == 300
    assert made.users == len({event.user_id for event in stream})
    assert made.items == len({event.item_id for event in stream})
    times = [event.time for event in stream]
    assert (made.first_ms, made.last_ms) == (times[0], times[-1])
    assert list(tmp_path.iterdir()) == [file]


def test_a_second_replay_and_a_longer_copy_add_duplicates_and_what_is_new(tmp_path: Path) -> None:
    """The worker drops an event whose user and id it has had (`events.remember_ids`)."""
    sent = []
    for name, events in (("once", 200), ("again", 200), ("longer", 250)):
        write_stream(DriftingStream(DriftSettings(), events), tmp_path / name, CHECK)
        file = open_events(tmp_path / name, Reading(), CHECK).events
        sent.append([(event.user_id, event.id) for event in file])
    once, again, longer = sent
    assert once == again == longer[:200]
    assert len(set(longer)) == 250


def test_a_file_that_exists_is_left_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "mine.jsonl"
    file.write_text("mine")
    with pytest.raises(DataFileError, match=r"mine.jsonl exists and is left as it is; name a new"):
        write_stream(DriftingStream(DriftSettings(), 10), file)
    assert file.read_text() == "mine"


@pytest.mark.parametrize("stop", [KeyboardInterrupt(), OSError(errno.ENOSPC, "No space left")])
def test_stopped_half_way_it_leaves_nothing(tmp_path: Path, stop: BaseException) -> None:
    def stopping(event: Event) -> None:
        if event.id.endswith(":50"):
            raise stop

    with pytest.raises((KeyboardInterrupt, DataFileError)) as raised:
        write_stream(DriftingStream(DriftSettings(), 100), tmp_path / "drift.jsonl", stopping)
    assert list(tmp_path.iterdir()) == []
    if isinstance(stop, OSError):
        assert "cannot be written: No space left; nothing was left there" in str(raised.value)


def test_a_folder_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataFileError, match=r"absent/drift.jsonl cannot be written: No such file"):
        write_stream(DriftingStream(DriftSettings(), 10), tmp_path / "absent" / "drift.jsonl")


def test_a_stream_that_the_worker_would_not_accept_is_not_written(tmp_path: Path) -> None:
    settings = EventSettings(actions=["view"])
    with pytest.raises(SettingsError, match="event 1 of the stream would not be accepted: unknown"):
        write_stream(
            DriftingStream(DriftSettings(), 10), tmp_path / "drift.jsonl", event_check(settings)
        )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.process
def test_killed_half_way_no_file_looks_whole(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from everfresh.adapters.files.drifting.settings import DriftSettings\n"
        "from everfresh.adapters.files.drifting.stream import DriftingStream\n"
        "from everfresh.adapters.files.drifting.writing import write_stream\n"
        "stream = DriftingStream(DriftSettings(), 1_000_000_000)\n"
        "write_stream(stream, Path(sys.argv[1]), on_progress=lambda n: print(n, flush=True))\n"
    )
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[4])}
    file = tmp_path / "drift.jsonl"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(file)], stdout=subprocess.PIPE, env=env
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"1000\n"
        child.send_signal(signal.SIGKILL)
    assert not file.exists()
    assert [entry.name for entry in tmp_path.iterdir()] == [f".drift.jsonl.{child.pid}.part"]
