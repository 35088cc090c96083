"""``user_cache`` in its short form, over little."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import user_cache
from tests.benchmarks.short_run import short_run


def test_a_short_run_over_little_gives_all_figures_and_names_its_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(user_cache, "ITEMS", 500)
    monkeypatch.setattr(user_cache, "LENGTHS", (20, 40))
    figures = short_run(user_cache.main, tmp_path)
    assert figures.keys() >= {"hit_ms_20", "extend_ratio_longest", "network_batched_ms"}
