"""The plot of a grid: losses by events and by size with the law, and predictions by observation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from everfresh.evaluation.scaling.lines import Findings
from everfresh.infra.cli.views.plot_style import (
    End,
    name_ends,
    new_figure,
    save,
    tidy,
    title_and_note,
)
from everfresh.infra.cli.views.scaling.tables import mean_losses, sizes_of

_COLOURS = ("#90cdf4", "#2b6cb0", "#0b7a4b", "#6b46c1", "#b83280", "#c53030", "#4a5568")
_MARKS = ("o", "s", "^", "x")


def draw(result: Findings, title: str, path: Path) -> None:
    """Write a PNG."""
    figure = new_figure(13, 8.5)
    grid = figure.add_gridspec(2, 2)
    _by_events(figure.add_subplot(grid[0, 0]), result)
    _by_size(figure.add_subplot(grid[0, 1]), result)
    _predicted(figure.add_subplot(grid[1, 0]), result)
    _by_pass(figure.add_subplot(grid[1, 1]), result)
    law = next(iter(result.laws.values()))
    note = (
        "Bits per event on the later window; lower is better. Points are trainings, one for each "
        "seed; lines are the law fitted to all of them"
    )
    note += ", which may not be used beyond them." if law.refused else "."
    title_and_note(figure, title, note)
    save(figure, path)


def _by_events(axes: Axes, result: Findings) -> None:
    law, events = next(iter(result.laws.values())), result.plan.prefixes
    ends = []
    for (size, cell), colour in zip(sizes_of(result).items(), _cycle(result), strict=True):
        own = [each for each in result.cells if each.size == size]
        axes.scatter([each.events for each in own], [each.loss for each in own], 14, color=colour)
        line = np.geomspace(events[0], events[-1], 60)
        told = [law.at(cell.weights, at) for at in line]
        axes.plot(line, told, color=colour, linewidth=1.3)
        ends.append(End(told[-1], size, colour, bold=False))
    _logarithmic(axes)
    axes.set_title("Loss by events learnt", loc="left", fontsize=10.5)
    axes.set_xlabel("events")
    tidy(axes)
    name_ends(axes, ends)


def _by_size(axes: Axes, result: Findings) -> None:
    law, means = next(iter(result.laws.values())), mean_losses(result)
    sizes = sizes_of(result)
    weights = [cell.weights for cell in sizes.values()]
    ends = []
    for at, events in enumerate(result.plan.prefixes):
        colour = _COLOURS[at % len(_COLOURS)]
        losses = [means[size, events] for size in sizes]
        axes.scatter(weights, losses, 18, color=colour)
        line = np.geomspace(weights[0], weights[-1], 60)
        told = [law.at(each, events) for each in line]
        axes.plot(line, told, color=colour, linewidth=1.3)
        ends.append(End(told[-1], f"{events:,}", colour, bold=False))
    _logarithmic(axes)
    axes.set_title("Loss by size; a colour is a number of events", loc="left", fontsize=10.5)
    axes.set_xlabel("weights of the blocks")
    tidy(axes)
    name_ends(axes, ends)


def _predicted(axes: Axes, result: Findings) -> None:
    observed = [held.observed for held in result.held_out]
    for at, name in enumerate(result.errors):
        told = [held.predicted[name] for held in result.held_out]
        mark, colour = _MARKS[at % len(_MARKS)], _COLOURS[1 + at % (len(_COLOURS) - 1)]
        axes.scatter(observed, told, 28, marker=mark, color=colour, label=name)
    ends = [min(observed), max(observed)]
    axes.plot(ends, ends, color="#888888", linewidth=1.0, linestyle=":")
    axes.set_title("Held out: on the dotted line is right", loc="left", fontsize=10.5)
    axes.set_xlabel("observed")
    axes.set_ylabel("predicted")
    axes.legend(fontsize=8, frameon=False)
    tidy(axes)
    axes.margins(0.06)


def _by_pass(axes: Axes, result: Findings) -> None:
    """Loss after each pass over the longest stretch, mean over seeds, by processor time."""
    longest, ends = result.plan.prefixes[-1], []
    for size, colour in zip(sizes_of(result), _cycle(result), strict=True):
        own = [cell for cell in result.cells if (cell.size, cell.events) == (size, longest)]
        times = np.mean([[reading.train_s for reading in cell.readings] for cell in own], axis=0)
        losses = np.mean([[reading.loss for reading in cell.readings] for cell in own], axis=0)
        axes.plot(times, losses, color=colour, marker="o", markersize=3, linewidth=1.3)
        ends.append(End(float(losses[-1]), size, colour, bold=False))
    _logarithmic(axes)
    axes.set_title(
        f"Loss by cost, {longest:,} events; a point is a pass", loc="left", fontsize=10.5
    )
    axes.set_xlabel("processor seconds")
    tidy(axes)
    name_ends(axes, ends)


def _cycle(result: Findings) -> list[str]:
    return [_COLOURS[at % len(_COLOURS)] for at in range(len(result.plan.sizes))]


def _logarithmic(axes: Axes) -> None:
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.7g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
