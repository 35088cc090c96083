"""The plot of ``freshness``: median and p99 of each stage."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import numpy as np

from benchmarks.freshness.measure import LABELS, STAGES, Samples
from benchmarks.freshness.report import SHARES, quantile

mpl.use("Agg")  # no display is needed, and none is opened

from matplotlib import pyplot as plt


def draw(samples: Samples, rate: float, target: Path) -> None:
    """Median and p99 of each stage, as bars."""
    figure, axes = plt.subplots(figsize=(8, 3.2), layout="constrained")
    places = np.arange(len(STAGES))
    for at, share in enumerate(SHARES):
        heights = [quantile(samples[stage], share) for stage in STAGES]
        bars = axes.barh(places + 0.2 - 0.4 * at, heights, 0.38, label=f"p{share * 100:.0f}")
        axes.bar_label(bars, fmt="%.2f", padding=2, fontsize=8)
    axes.set_yticks(places, [LABELS[stage] for stage in STAGES])
    axes.invert_yaxis()
    axes.set_xlabel("seconds")
    axes.set_title(f"From an event to answers that learned from it, {rate:,.0f} events/s")
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(target, dpi=130)
