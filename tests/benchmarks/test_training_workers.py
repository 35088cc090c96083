"""``training_workers`` in its short form, over little."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import training_workers
from tests.benchmarks.short_run import short_run


def test_a_short_run_gives_all_figures_and_a_kept_network_is_not_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training_workers, "SIZES", (100, 6_000, 100))
    figures = short_run(training_workers.main, tmp_path)
    assert figures.keys() >= {"handed_s_100", "whole_handed_s_6000", "train_s_6000"}
    assert figures["job_mb_6000"] < 1.5 * figures["job_mb_100"]
    assert figures["whole_job_mb_6000"] > figures["job_mb_6000"] + 1.5
