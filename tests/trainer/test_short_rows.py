"""``weights.rows``: replicas read shorter item rows, training goes on from the exact ones."""

from __future__ import annotations

from pathlib import Path

from everfresh.adapters.memory import MemoryWeightStore
from everfresh.contracts.manifest import SERVED_FILE
from everfresh.contracts.settings import load_settings
from everfresh.serving.versions.follow import load_version
from everfresh.trainer.checkpoint import MEMORY_FILE, load_recommender
from everfresh.trainer.scoring.prequential import rank_window, score_table
from tests.trainer.bench import Bench
from tests.trainer.logs import make_log, windows_of
from tests.trainer.small_settings import SMALL

LABELS = [3, 4, 6, 7, 9]


def bench(home: Path, rows: str) -> Bench:
    # With this seed eight bits move a rank that the figures of a window show.
    tuning = {**SMALL["trainer"], "seed": 5}
    settings = load_settings(
        {"home": str(home), **SMALL, "trainer": tuning, "weights": {"rows": rows}}
    )
    made = Bench(make_log(2, LABELS), settings)
    made.run()
    return made


def test_shorter_rows_for_replicas_change_nothing_that_is_trained(tmp_path: Path) -> None:
    exact, shorter = bench(tmp_path, "float32"), bench(tmp_path, "int8")
    assert exact.store.versions() == shorter.store.versions() == [1, 2, 3, 4, 5]
    for version in exact.store.versions():
        ours, theirs = (run.store.manifest(version) for run in (shorter, exact))
        hashes = {file.name: file.digest for file in ours.files}
        expected = {file.name: file.digest for file in theirs.files}
        assert hashes.pop(SERVED_FILE)
        # What the gate's probations have ranked so far was ranked with the rows that are served.
        del hashes[MEMORY_FILE], expected[MEMORY_FILE]
        assert hashes == expected
        assert (ours.rows, theirs.rows) == ("int8", "float32")


def test_law_4_a_window_is_scored_with_the_rows_that_are_served(tmp_path: Path) -> None:
    made = bench(tmp_path, "int8")
    store: MemoryWeightStore = made.store
    scored, by_served, by_exact = [], [], []
    for version, window in zip(store.versions()[:-1], windows_of(made.log)[1:], strict=True):
        manifest = store.manifest(version)
        models = {
            "served": load_version(manifest, store),
            "exact": load_recommender(store, manifest),
        }
        scores = score_table(rank_window(window, models, made.settings.trainer.exclude_seen), {})
        scored.append(store.manifest(version + 1).scores["ndcg10_live"])
        by_served.append(scores["served"]["ndcg10"])
        by_exact.append(scores["exact"]["ndcg10"])
    assert scored == by_served != by_exact
