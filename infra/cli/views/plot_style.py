"""The look of all plots: the figure, its axes, and names at the right end of the curves."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from everfresh.contracts.foreign import printable

# No display is needed; and what a notebook chose may not be installed here.
os.environ["MPLBACKEND"] = "Agg"

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

_INK, _GREY = "#222222", "#888888"


class End(NamedTuple):
    """The right end of a curve, and what is written beside it."""

    value: float
    words: str
    colour: str
    bold: bool


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of this size in inches."""
    plt.rcParams.update({"font.size": 10, "text.color": _INK, "axes.labelcolor": _INK})
    return plt.figure(figsize=(width, height), dpi=130, layout="constrained")


def title_and_note(figure: Figure, title: str, note: str) -> None:
    """A bold title at the top, and at the bottom what a reader needs to know of all axes."""
    # A file's name may hold dollar signs, which would be formulas.
    figure.suptitle(
        printable(title), parse_math=False, x=0.01, ha="left", fontsize=13, fontweight="bold"
    )
    figure.supxlabel(note, x=0.01, ha="left", fontsize=9)


def save(figure: Figure, path: Path) -> None:
    """Write it in the format that its ending names, and let go of it."""
    figure.savefig(path)
    plt.close(figure)


def name_ends(axes: Axes, ends: Sequence[End]) -> None:
    """Each curve's words at its right end, pushed apart where they would meet."""
    low, high = axes.get_ylim()
    gap, floor = (high - low) * 0.075, low
    for end in sorted(ends):
        at = max(end.value, floor)
        floor = at + gap
        name_end(axes, end._replace(value=at))


def name_end(axes: Axes, end: End) -> None:
    """Words to the right of the axes, at the height of their value."""
    axes.annotate(
        printable(end.words),
        parse_math=False,
        xy=(1.012, end.value),
        xycoords=("axes fraction", "data"),
        color=end.colour,
        va="center",
        fontsize=9,
        fontweight="bold" if end.bold else "normal",
        annotation_clip=False,
    )


def tidy(axes: Axes) -> None:
    """Two thin sides, light lines across, dark labels."""
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(_GREY)
    axes.tick_params(colors=_GREY, labelcolor=_INK)
    axes.grid(axis="y", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.margins(x=0.01)
