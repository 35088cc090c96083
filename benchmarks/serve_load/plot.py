"""The plot of ``serve_load``: requests per second, with the share of the echo and the p99."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import matplotlib as mpl
import numpy as np

from benchmarks.harness.report import median
from benchmarks.serve_load.measure import CANDIDATES, CONNECTIONS, ITEMS, Runs
from benchmarks.serve_load.report import p99_ms, ratios

mpl.use("Agg")  # no display is needed, and none is opened

from matplotlib import pyplot as plt

LABELS = {
    "echo": "empty echo",
    "anchor": "echo without Ray",
    "recommend": "/v1/recommend",
    "score": f"/v1/score, {CANDIDATES} candidates",
}


def draw(measured: Mapping[str, Runs], target: Path) -> None:
    """Bars for each kind of request, one colour for each title of ``measured``."""
    figure, axes = plt.subplots(figsize=(8, 3.6), layout="constrained")
    places = np.arange(len(LABELS))
    for at, (title, runs) in enumerate(measured.items()):
        heights = [median(run.load.per_s for run in runs[name]) for name in LABELS]
        bars = axes.barh(places + 0.2 - 0.4 * (1 - at), heights, 0.38, label=title)
        labels = [
            f"{median(ratios(runs, name)):.2f} of echo, p99 {p99_ms(runs[name]):.0f} ms"
            for name in LABELS
        ]
        axes.bar_label(bars, labels, padding=3, fontsize=8)
    axes.set_yticks(places, list(LABELS.values()))
    axes.invert_yaxis()
    axes.margins(x=0.28)
    axes.set_xlabel("requests per second")
    axes.set_title(f"{CONNECTIONS} connections, {ITEMS:,} items, two replicas each, two cores")
    axes.legend(frameon=False, loc="lower right")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(target, dpi=130)
    plt.close(figure)
