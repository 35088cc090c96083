"""``catalogue_versions`` in its short form, over little."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import catalogue_versions
from tests.benchmarks.short_run import short_run


def test_a_short_run_over_little_gives_all_figures_and_rows_cost_less_than_the_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalogue_versions, "SIZES", (300, 20_000, 300))
    figures = short_run(catalogue_versions.main, tmp_path)
    assert figures.keys() >= {"live_s_300", "rss_mb_20000", "takeover_s_20000", "bytes_live_s_300"}
    assert figures["version_mb_20000"] < 20
