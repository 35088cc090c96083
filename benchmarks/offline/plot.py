"""The plot of ``offline``: HR@10 and NDCG@10 by epoch, the published figures as lines."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl

from benchmarks.offline.runs import MODELS, tested_runs

mpl.use("Agg")  # no display is needed, and none is opened

from matplotlib import pyplot as plt


def draw(folder: Path, path: Path) -> None:
    """HR@10 and NDCG@10 by epoch of every run, the published figures as lines."""
    figure, axes = plt.subplots(1, 2, figsize=(11, 4.2), dpi=130, layout="constrained")
    for axis, (metric, title) in zip(axes, (("hr10", "HR@10"), ("ndcg10", "NDCG@10")), strict=True):
        for name, plan in MODELS.items():
            level = plan.published[metric == "ndcg10"]
            axis.axhline(level, color=plan.colour, linewidth=1, linestyle=":")
            axis.annotate(
                f"{name}, published {level:.4f}",
                (0.01, level),
                xycoords=("axes fraction", "data"),
                color=plan.colour,
                fontsize=8,
                ha="left",
                va="bottom",
            )
        for run in tested_runs(folder):
            tested = run.tested()
            axis.plot(
                [epoch.number for epoch in tested],
                [epoch.scores[metric] for epoch in tested],
                color=MODELS[run.model].colour,
                marker=".",
                linestyle="-" if "-published" in run.name else "--",
                label=run.name,
            )
        axis.set_title(title)
        axis.set_xlabel("epoch")
        axis.spines[["top", "right"]].set_visible(False)
        axis.legend(frameon=False, loc="lower right", bbox_to_anchor=(1.0, 0.05))
    figure.savefig(path)
    plt.close(figure)
