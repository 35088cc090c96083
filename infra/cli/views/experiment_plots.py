"""The plots of a report on an experiment, as SVG that stands in a page."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from io import StringIO

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from everfresh.contracts.foreign import printable
from everfresh.experiments.verdict.comparison import Comparison
from everfresh.experiments.verdict.report import Report
from everfresh.experiments.verdict.words import certain
from everfresh.infra.cli.views.experiment_report import AGES
from everfresh.infra.cli.views.plot_style import new_figure, tidy

_BETTER, _WORSE, _OPEN = "#0b7a4b", "#c53030", "#4a5568"
_ARMS = ("#2b6cb0", "#b7791f", "#0b7a4b", "#6b46c1", "#c53030", "#00808a")
_LONGEST = 24


def plots(report: Report) -> Iterator[str]:
    """Each as one ``<svg>``; those for which there is nothing to draw are left out."""
    rows = [found for found in report.comparisons if _relative(found)]
    if rows:
        yield _drawn(7.5, 1.3 + 0.42 * len(rows), lambda axes: _forest(axes, rows, report))
    if any(found.always for _, found in report.by_age):
        yield _drawn(7.5, 3.2, lambda axes: _ages(axes, report))
    if len(report.by_version) > len(report.arms):
        yield _drawn(7.5, 3.2, lambda axes: _versions(axes, report))


def _drawn(width: float, height: float, draw: Callable[[Axes], None]) -> str:
    figure: Figure = new_figure(width, height)
    axes = figure.add_subplot()
    draw(axes)
    tidy(axes)
    written = StringIO()
    with plt.rc_context({"svg.hashsalt": "everfresh"}):
        figure.savefig(written, format="svg", metadata={"Date": None, "Creator": None})
    plt.close(figure)
    text = written.getvalue()
    return text[text.index("<svg") :]


def _relative(found: Comparison) -> float | None:
    """What makes a difference a share of the control's figure; ``None`` without one."""
    value = found.control_value
    return 1 / value if found.always is not None and value is not None and value > 0 else None


def _forest(axes: Axes, rows: list[Comparison], report: Report) -> None:
    """One line per comparison: thick for one look, thin for any number of looks."""
    for at, found in enumerate(reversed(rows)):
        scale = _relative(found)
        if scale is None or found.always is None or found.one_look is None:
            continue
        colour = _OPEN
        if certain(found, report.error) or found.harm:
            colour = _BETTER if found.better and not found.harm else _WORSE
        always, once = found.always.scaled(scale), found.one_look.scaled(scale)
        axes.plot([always.low, always.high], [at, at], color=colour, linewidth=1.6)
        axes.plot([once.low, once.high], [at, at], color=colour, linewidth=5, alpha=0.45)
        axes.plot([always.difference], [at], "o", color=colour, markersize=5)
    axes.axvline(0.0, color="#888888", linewidth=0.9)
    axes.set_yticks(
        range(len(rows)), [f"{_short(row.arm)}: {_short(row.metric)}" for row in reversed(rows)],
    )  # fmt: skip
    axes.set_ylim(-0.6, len(rows) - 0.4)
    axes.xaxis.set_major_formatter(PercentFormatter(1.0))
    axes.set_title(
        f"Difference from {_short(report.control)}, as a share of its figure; thin lines are "
        "always valid", loc="left", fontsize=10,
    )  # fmt: skip


def _ages(axes: Axes, report: Report) -> None:
    for number, arm in enumerate(report.arms[1:], 1):
        known = [
            (stretch, found.always)
            for stretch, found in report.by_age
            if found.arm == arm.arm and found.always
        ]
        axes.errorbar(
            [stretch + 0.12 * (number - 1) for stretch, _ in known],
            [each.difference for _, each in known],
            [
                [each.difference - each.low for _, each in known],
                [each.high - each.difference for _, each in known],
            ],
            fmt="o-", capsize=3, color=_ARMS[number % len(_ARMS)], label=_short(arm.arm),
        )  # fmt: skip
    axes.axhline(0.0, color="#888888", linewidth=0.9)
    used = sorted({stretch for stretch, _ in report.by_age})
    axes.set_xticks(used, [AGES[stretch] for stretch in used], fontsize=8)
    axes.set_title(
        f"Difference in {report.metrics[0]} by time since the user's first answer",
        loc="left", fontsize=10,
    )  # fmt: skip
    axes.legend(frameon=False, fontsize=9)


def _versions(axes: Axes, report: Report) -> None:
    metric = report.metrics[0]
    for number, arm in enumerate(report.arms):
        rows = [each for each in report.by_version if each.arm == arm.arm]
        axes.plot(
            [(each.first + each.last) / 2 for each in rows], [each.values[metric] for each in rows],
            "o-", markersize=3, color=_ARMS[number % len(_ARMS)], label=_short(arm.arm),
        )  # fmt: skip
    axes.set_ylim(bottom=0)
    axes.set_xlabel("version of the weights")
    axes.set_title(f"{metric} per answer, by version", loc="left", fontsize=10)
    axes.legend(frameon=False, fontsize=9)


def _short(name: str) -> str:
    shown = printable(name).replace("$", r"\$")  # which would begin a formula
    return shown if len(shown) <= _LONGEST else f"{shown[: _LONGEST - 1]}…"
