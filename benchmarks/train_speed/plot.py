"""The plot of ``train_speed``: bars, one panel for each distribution of lengths."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import matplotlib as mpl
import numpy as np

from benchmarks.harness.report import median
from benchmarks.train_speed.contenders import OURS
from benchmarks.train_speed.report import Speeds

mpl.use("Agg")  # no display is needed, and none is opened

from matplotlib import pyplot as plt


def draw(measured: Mapping[str, Speeds], path: Path) -> None:
    """Bars, one panel for each distribution of lengths."""
    figure, axes = plt.subplots(
        1,
        len(measured),
        figsize=(5.5 * len(measured), 3.4),
        dpi=130,
        layout="constrained",
        sharey=True,
    )
    for axis, (where, speeds) in zip(np.atleast_1d(axes), measured.items(), strict=True):
        names = list(speeds)[::-1]
        values = [median(speeds[name]) for name in names]
        colours = ["#0b7a4b" if name == OURS else "#a9b8b0" for name in names]
        bars = axis.barh(names, values, color=colours)
        axis.bar_label(bars, [f"{value:,.0f}" for value in values], padding=3, fontsize=8)
        axis.set_title(f"lengths of {where}")
        axis.set_xlabel("tokens per second of one core")
        axis.margins(x=0.15)
        axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(path)
    plt.close(figure)
