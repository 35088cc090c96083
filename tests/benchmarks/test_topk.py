"""``topk`` in its short form, over little."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.synthetic import vectors
from tests.benchmarks.short_run import short_run


def test_a_short_run_over_little_gives_all_figures_and_names_its_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("faiss", reason="the extra `benchmarks` brings it")
    from benchmarks import topk  # noqa: PLC0415 - it imports faiss

    monkeypatch.setattr(topk, "SIZES", (2_000,))
    monkeypatch.setattr(vectors, "CLUSTERS", 50)
    figures = short_run(topk.main, tmp_path)
    assert figures.keys() >= {"exact_float32_2000_p50_ms", "faiss_hnsw_2000_recall"}
