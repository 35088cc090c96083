from __future__ import annotations

from pathlib import Path

from everfresh.adapters.files.datasets import event_check, read_jsonl
from everfresh.adapters.files.drifting.settings import DriftSettings
from everfresh.adapters.files.drifting.stream import DriftingStream
from everfresh.adapters.files.drifting.writing import write_stream
from everfresh.contracts.settings import EventSettings


def test_the_same_seed_makes_the_same_events_and_a_longer_stream_begins_with_them() -> None:
    made = list(DriftingStream(DriftSettings(), 2000))
    assert made == list(DriftingStream(DriftSettings(), 3000))[:2000]
    assert made != list(DriftingStream(DriftSettings(seed=18), 2000))


def test_a_written_stream_is_read_back_as_it_was_made(tmp_path: Path) -> None:
    stream, file = DriftingStream(DriftSettings(), 500), tmp_path / "drift.jsonl"
    write_stream(stream, file)
    assert list(read_jsonl(file, event_check(EventSettings()))) == list(stream)
