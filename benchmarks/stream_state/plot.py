"""The plot of ``stream_state``: events per CPU second, and ages at half load."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl

from benchmarks.stream_state.report import LABELS, Round, age, median_of
from benchmarks.stream_state.systems import OURS, PEERS

mpl.use("Agg")  # no display is needed, and none is opened

from matplotlib import pyplot as plt


def draw(rounds: list[Round], target: Path) -> None:
    """Events per CPU second of every system, and the ages at half load."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
    names = [OURS, *PEERS]
    speeds = [1e6 / median_of(rounds, name, "cpu_s_per_million") for name in names]
    colours = ["#1f6f8b" if name == OURS else "#b8c4c9" for name in names]
    bars = left.barh([LABELS[name] for name in names], speeds, color=colours)
    left.bar_label(bars, [f"{speed:,.0f}" for speed in speeds], padding=3, fontsize=8)
    left.set_xlim(right=max(speeds) * 1.25)
    left.invert_yaxis()
    left.xaxis.set_major_formatter("{x:,.0f}")
    left.tick_params(axis="x", labelsize=8)
    left.set_title("Events per CPU second", fontsize=10)
    aged = [name for name in names if age(rounds, name, "p50_ms") is not None]
    for at, field in enumerate(("p50_ms", "p99_ms")):
        places = [number + 0.4 * at for number in range(len(aged))]
        heights = [age(rounds, name, field) or 0.0 for name in aged]
        drawn = right.barh(places, heights, 0.38, label=field[:3], color=["#1f6f8b", "#8fb9c7"][at])
        right.bar_label(drawn, fmt="%.0f", padding=3, fontsize=8)
    right.set_yticks([number + 0.2 for number in range(len(aged))], [LABELS[name] for name in aged])
    right.margins(x=0.2)
    right.invert_yaxis()
    right.set_title("Age of an event when readable, half load (ms)", fontsize=10)
    right.legend(frameon=False, fontsize=8, loc="upper right")
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(target, dpi=130)
    plt.close(figure)
