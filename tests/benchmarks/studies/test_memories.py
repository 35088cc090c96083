"""The study ``memories`` in its short form, and its choices."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.studies import memories as study
from benchmarks.studies.memories import Case, Result, farthest_first, rows_of
from tests.benchmarks.short_run import short_run


def test_a_short_run_gives_all_figures_and_names_its_machine(tmp_path: Path) -> None:
    figures = short_run(study.main, tmp_path)
    assert figures.keys() >= {
        *("hr10_drifting_chance", "network_drifting_none", "gain_drifting_covering_low"),
        *("choose_s_drifting_covering", "train_s_drifting_chance"),
    }
    assert figures["tokens_drifting_chance"] == 1.0
    assert figures["tokens_drifting_none"] < 1.0


def test_the_farthest_comes_first_and_nothing_twice() -> None:
    line = np.array([[0.0], [0.1], [5.0], [9.0], [10.0]], dtype=np.float32)
    assert farthest_first(line, 3).tolist() == [4, 0, 2]
    assert sorted(farthest_first(line, 9).tolist()) == [0, 1, 2, 3, 4]


def test_a_gain_over_chance_has_its_interval_over_users() -> None:
    chance = Result([1, 99, 99, 99] * 25, [1] * 100, [*range(100)], 100, 2.0, 0.1)
    better = Result([1, 1, 99, 99] * 25, [1] * 100, [*range(100)], 100, 2.0, 9.0)
    results = {Case("s", "chance", 1): chance, Case("s", "covering", 1): better}
    first, second = rows_of(results, "s")
    assert first.gain == (0.0, 0.0, 0.0)
    assert (second.hr10, second.tokens, second.choose_s) == (0.5, 1.0, 9.0)
    mean, low, high = second.gain
    assert mean == pytest.approx(0.25)
    assert 0.1 < low < mean < high < 0.4
