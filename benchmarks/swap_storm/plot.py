"""The plot of ``swap_storm``: latency by the second, over busy and calm segments."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import numpy as np

from benchmarks.swap_storm.report import Outcome

mpl.use("Agg")  # no display is needed, and none is opened

from matplotlib import pyplot as plt


def draw(outcome: Outcome, target: Path) -> None:
    """Latencies by the second, over the segments."""
    start = outcome.segments[0].begin
    seconds = np.array([answer.due - start for answer in outcome.answers]).astype(int)
    took = np.array([1000 * answer.seconds for answer in outcome.answers])
    shown = [at for at in np.unique(seconds) if 0 <= at <= outcome.segments[-1].end - start]
    figure, axes = plt.subplots(figsize=(9, 3.6))
    for quantile, label in ((50, "median"), (99, "99th percentile"), (100, "slowest")):
        values = [np.percentile(took[seconds == at], quantile) for at in shown]
        axes.plot(shown, values, label=label, linewidth=0.9)
    for segment in outcome.segments:
        if segment.busy:
            span = (segment.begin - start, segment.end - start)
            axes.axvspan(*span, color="tab:red" if segment.fault else "tab:blue", alpha=0.1)
        if segment.fault:
            axes.text(segment.begin - start, took.max(), f" kill -9: {segment.fault}", fontsize=8)
    axes.set(yscale="log", xlabel="seconds (shaded: versions go live)", ylabel="latency, ms")
    axes.legend(loc="upper right", fontsize=8)
    figure.tight_layout()
    figure.savefig(target, dpi=110)
