"""Outcomes are counted exactly once, whenever a report is stopped, and from where it stopped."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from everfresh.adapters.kafka.outcome_source import OutcomeBatch
from everfresh.contracts.errors import LogMismatch, StateError
from everfresh.contracts.outcome import Outcome
from everfresh.experiments.verdict import counting
from everfresh.experiments.verdict.counting import count
from tests.experiments.verdict.made_outcomes import METRICS, NAME, outcome, tallied
from tests.experiments.verdict.test_tally import stream


class MemorySource:
    """One partition in memory; ``dies_after`` batches it raises as a killed process would."""

    def __init__(self, outcomes: list[Outcome], size: int = 10) -> None:
        self.topic = "everfresh.outcomes"
        self.outcomes = outcomes
        self.size = size
        self.dies_after: int | None = None
        self.read_from: list[int] = []

    def read(self, offsets: Mapping[int, int]) -> Iterator[OutcomeBatch]:
        begin = offsets.get(0, 0)
        self.read_from.append(begin)
        if begin > len(self.outcomes):
            raise LogMismatch("the topic was made anew")
        for turn, at in enumerate(range(begin, len(self.outcomes), self.size)):
            if turn == self.dies_after:
                raise KeyboardInterrupt
            part = self.outcomes[at : at + self.size]
            yield OutcomeBatch(0, at + len(part), part)


def test_a_report_goes_on_where_the_last_one_ended(tmp_path: Path) -> None:
    made = stream(5, 200)
    source = MemorySource(made[:120])
    count(source, tmp_path, NAME, METRICS, 1000)
    source.outcomes = made
    sums, why = count(source, tmp_path, NAME, METRICS, 1000)
    assert source.read_from == [0, 120]
    assert why == ""
    whole = tallied(made)
    whole.offsets = {0: 200}
    assert sums == whole


def test_killed_at_any_point_every_outcome_counts_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counting, "_COMMIT_EVERY", 25)
    made = stream(6, 100)
    source = MemorySource(made)
    for source.dies_after in (1, 2, 4, 3):
        with pytest.raises(KeyboardInterrupt):
            count(source, tmp_path, NAME, METRICS, 1000)
    source.dies_after = None
    sums, _ = count(source, tmp_path, NAME, METRICS, 1000)
    whole = tallied(made)
    whole.offsets = {0: 100}
    assert sums == whole
    assert max(source.read_from) > 0


def test_outcomes_that_a_rebuilt_state_writes_again_count_once(tmp_path: Path) -> None:
    made = stream(7, 60)
    source = MemorySource(made)
    count(source, tmp_path, NAME, METRICS, 1000)
    source.outcomes = [*made, *made]
    sums, _ = count(source, tmp_path, NAME, METRICS, 1000)
    assert sums.repeated == 60
    assert sums.arms == tallied(made).arms


def test_other_metrics_are_counted_from_the_beginning_and_that_is_said(tmp_path: Path) -> None:
    source = MemorySource(stream(8, 50))
    count(source, tmp_path, NAME, METRICS, 1000)
    sums, why = count(source, tmp_path, NAME, METRICS[:1], 1000)
    assert source.read_from == [0, 0]
    assert "counted anew" in why
    assert sums.arms == tallied(source.outcomes, METRICS[:1]).arms


def test_a_topic_that_was_made_anew_is_named_with_the_file_to_delete(tmp_path: Path) -> None:
    source = MemorySource(stream(9, 50))
    count(source, tmp_path, NAME, METRICS, 1000)
    source.outcomes = source.outcomes[:10]
    with pytest.raises(LogMismatch, match=r"delete .*ranking\.sqlite to count"):
        count(source, tmp_path, NAME, METRICS, 1000)


def test_a_damaged_ledger_is_named_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / f"{NAME}.sqlite"
    path.write_bytes(b"no database" * 1000)
    with pytest.raises(StateError, match=r"ranking\.sqlite cannot be used"):
        count(MemorySource([]), tmp_path, NAME, METRICS, 1000)
    path.unlink()
    count(MemorySource([outcome(1, 1)]), tmp_path, NAME, METRICS, 1000)
    with sqlite3.connect(path) as database:
        database.execute("UPDATE head SET value = '[1' WHERE key = 'sums'")
    database.close()
    with pytest.raises(StateError, match="delete the file"):
        count(MemorySource([]), tmp_path, NAME, METRICS, 1000)


def test_records_that_are_no_outcomes_are_counted_and_the_last_is_named(tmp_path: Path) -> None:
    wrong = Outcome("nothing", 0, 0, outcome(1, 1).exposure, [])
    sums, _ = count(MemorySource([wrong, outcome(2, 2)]), tmp_path, NAME, METRICS, 1000)
    assert (sums.foreign, sums.counted) == (1, 1)
    assert "PARTITION-OFFSET" in sums.last_foreign


def test_sums_beyond_64_bits_are_kept(tmp_path: Path) -> None:
    made = [outcome(n, n % 3, "control", ["purchase"] * 40, n, 9e8) for n in range(100)]
    count(MemorySource(made), tmp_path, NAME, METRICS, 1000)
    sums, _ = count(MemorySource(made), tmp_path, NAME, METRICS, 1000)
    assert sums.arms == tallied(made).arms
