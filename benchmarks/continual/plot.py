"""The plot of ``continual``: recall and MRR period by period, beside ADER's means."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from matplotlib.axes import Axes

from benchmarks.continual.report import Results
from everfresh.infra.cli.views.plot_style import End, name_ends, new_figure, save, tidy

_COLOURS = ("#0b7a4b", "#2b6cb0", "#c53030", "#6b46c1", "#00808a", "#b83280", "#4a5568")
_GREY = "#888888"

Curves = Mapping[str, Mapping[int, float]]
"""Strategy -> period -> percent."""


def draw(results: Results, ader: tuple[float, float], path: Path) -> None:
    """Write a PNG; ``ader`` are its published means of recall and MRR."""
    recall, mrr = (
        {
            name: {at: getattr(period, field) for at, period in periods.items()}
            for name, periods in results.items()
        }
        for field in ("recall20", "mrr20")
    )
    figure = new_figure(12, 4.6)
    left, right = figure.subplots(1, 2)
    _panel(left, recall, ader[0], "Recall@20 in % (figures: means)")
    _panel(right, mrr, ader[1], "MRR@20 in %")
    figure.suptitle(
        "DIGINETICA: learn a period, test on the next\n", x=0.01, ha="left", fontweight="bold"
    )
    save(figure, path)


def _panel(axes: Axes, curves: Curves, ader: float, title: str) -> None:
    axes.axhline(ader, color=_GREY, linestyle="--", linewidth=1.2)
    ends = [End(ader, f"ADER, mean  {ader:.2f}", _GREY, False)]
    for at, (name, values) in enumerate(curves.items()):
        if not values:
            continue
        periods = sorted(values)
        points = [values[period] for period in periods]
        colour = _COLOURS[at % len(_COLOURS)]
        if name == "retrain":  # measured on some periods alone, maybe
            axes.plot([p + 1 for p in periods], points, "D", color=colour, markersize=6)
        else:
            axes.plot([p + 1 for p in periods], points, color=colour, linewidth=1.8)
        mean = sum(points) / len(points)
        of = "" if len(points) > 15 else f" of {len(points)}"
        ends.append(End(points[-1], f"{name}  {mean:.2f}{of}", colour, True))
    name_ends(axes, ends)
    axes.set_title(title, loc="left", fontsize=10.5)
    axes.set_xlabel("period tested")
    tidy(axes)
