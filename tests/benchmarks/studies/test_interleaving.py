"""The study ``interleaving`` over few users."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from benchmarks.studies import interleaving
from tests.benchmarks.short_run import short_run


def test_a_short_run_over_few_users_gives_all_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(interleaving, "QUICK", 2)
    monkeypatch.setattr(interleaving, "_QUICK_POWER_USERS", 60)
    for crowds in (interleaving.EQUAL, interleaving.BETTER):
        for name, crowd in crowds.items():
            monkeypatch.setitem(crowds, name, msgspec.structs.replace(crowd, users=40))
    figures = short_run(interleaving.main, tmp_path)
    assert figures.keys() >= {
        "always_one_ranking",
        "lead_many_answers_each",
        "split_few_answers_each",
    }
