"""The plot of ``gate``: what a bad version costs, and which poison is held."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, MultipleLocator

from benchmarks.gate.runs import Noise, Poisoned
from everfresh.infra.cli.views.plot_style import new_figure, save, tidy

_USUAL, _BAD, _BACK = "#888888", "#c53030", "#0b7a4b"


def draw(
    usual: Mapping[int, float], poison: Sequence[Poisoned], noise: Sequence[Noise], path: Path
) -> None:
    """Write a PNG; the panel of poison only where there is some."""
    figure = new_figure(12, 4.4)
    if poison:
        left, right = figure.subplots(1, 2, width_ratios=(2.1, 1))
        _kinds(right, poison)
    else:
        left = figure.subplots()
    _curves(left, usual, noise)
    save(figure, path)


def _curves(axes: Axes, usual: Mapping[int, float], noise: Sequence[Noise]) -> None:
    axes.plot([*usual], [*usual.values()], color=_USUAL, linewidth=1.6, label="undisturbed")
    for trial in noise:
        first = trial is noise[0]
        axes.plot(
            [*trial.served],
            [*trial.served.values()],
            color=_BAD,
            marker=".",
            linewidth=1.6,
            label="a candidate of noise let through" if first else None,
        )
        axes.plot(
            [*trial.after],
            [*trial.after.values()],
            color=_BACK,
            marker=".",
            linewidth=1.6,
            label="the line that goes on" if first else None,
        )
        if trial.decided is not None:
            axes.axvline(
                trial.decided,
                color=_BACK,
                linestyle=":",
                linewidth=1.2,
                label="rolled back" if first else None,
            )
    axes.set_title("HR@10 per window, before learning it", loc="left", fontsize=10.5)
    axes.set_xlabel("window")
    axes.set_ylim(0, 1.3 * max(usual.values()))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(frameon=False, fontsize=9, loc="upper left", ncols=2)
    tidy(axes)


def _kinds(axes: Axes, poison: Sequence[Poisoned]) -> None:
    kinds = list(dict.fromkeys(window.kind for window in poison))
    for held, colour, label in ((True, _BACK, "held"), (False, _BAD, "let through")):
        some = [window for window in poison if bool(window.held) is held]
        axes.scatter(
            [window.window for window in some],
            [kinds.index(window.kind) for window in some],
            s=60,
            marker="s" if held else "X",
            color=colour,
            label=label,
        )
    axes.set_yticks(range(len(kinds)), kinds)
    axes.set_ylim(len(kinds) - 0.4, -1.0)
    axes.set_title("Poison in place of one window", loc="left", fontsize=10.5)
    axes.set_xlabel("window")
    axes.xaxis.set_major_locator(MultipleLocator(8))
    axes.legend(frameon=False, fontsize=9, loc="upper left", ncols=2)
    tidy(axes)
    axes.margins(x=0.06)
    axes.grid(visible=False)
