"""The report on an experiment in the terminal, and as one JSON object."""

from __future__ import annotations

from typing import Any

import msgspec

from everfresh.experiments.verdict.comparison import Comparison
from everfresh.experiments.verdict.intervals import Interval
from everfresh.experiments.verdict.report import Report
from everfresh.experiments.verdict.words import Words, certain, days
from everfresh.infra.cli.terminal import Terminal, styled
from everfresh.infra.cli.views.tables import described, new_table
from everfresh.infra.cli.views.text import MISSING

AGES = (
    "first minute",
    "to 10 minutes",
    "to 1 hour",
    "to 6 hours",
    "to 1 day",
    "to 3 days",
    "to 7 days",
    "later",
)
"""The stretches of ``user_totals.AGES_MS``."""
COLUMNS = ("arm", "metric", "control", "value", "difference, always valid", "one look", "q", "")
NOTE = (
    "difference: arm minus control. always valid: look as often as you like. one look: narrower, "
    "and right only if you look once, at a time chosen before. q: chance of such a difference "
    "between equal arms, corrected for the number of comparisons. ±: adjusted by what users did "
    "before."
)
_VERSION_ROWS = 5


def show(console: Terminal, report: Report, said: Words) -> None:
    """What is known first, then what to do, then the figures, then what is odd."""
    users = sum(arm.users for arm in report.arms)
    console.print(
        styled(
            (f"Experiment {report.experiment}", "bold"),
            f": {users:,} users, {report.sums.counted:,} answers, {days(report):.2f} days",
        )
    )
    for sentence in said.alarms:
        console.print(styled((sentence, "bold red")))
    for sentence in said.known:
        console.print(styled((sentence, "bold")))
    for sentence in said.advice:
        console.print(styled(("Next: ", "bold"), sentence))
    console.print("")
    if report.arms:
        _show_arms(console, report)
    if report.comparisons:
        _show_comparisons(console, report)
    if report.by_age:
        _show_ages(console, report)
    if report.by_version:
        _show_versions(console, report)
    for note in said.notes:
        console.print(styled((f"note: {note}", "dim")))


def as_tree(report: Report, said: Words, remarks: list[str]) -> dict[str, Any]:
    """What ``--json`` prints. The exact sums stay in the ledger."""
    tree: dict[str, Any] = msgspec.to_builtins(report, str_keys=True)
    sums = tree.pop("sums")
    for exact in ("arms", "offsets"):
        del sums[exact]
    tree["ratio"]["alarm"] = report.ratio.alarm
    for row, each in zip(tree["comparisons"], report.comparisons, strict=True):
        row["certain"] = certain(each, report.error)
    return {**tree, "counts": sums, "words": msgspec.to_builtins(said), "remarks": remarks}


def row_of(found: Comparison, error: float) -> tuple[str, ...]:
    """One comparison as text, under ``COLUMNS``."""
    return (
        found.arm,
        found.metric + (" (guardrail)" if found.guardrail is not None else ""),
        figure(found.control_value),
        figure(found.arm_value),
        interval(found.always) + (" ±" if found.theta is not None else ""),
        interval(found.one_look),
        MISSING if found.q is None else f"{found.q:.2g}",
        state(found, error),
    )


def state(found: Comparison, error: float) -> str:
    """What is certain of a comparison, in a word."""
    if found.harm:
        return "STOP"
    if found.always is None:
        return "too early"
    if certain(found, error):
        return "better" if found.better else "worse"
    return "open"


def figure(value: float | None) -> str:
    """Four digits."""
    return MISSING if value is None else f"{value:.4g}"


def interval(each: Interval | None) -> str:
    """The difference and where it lies."""
    if each is None:
        return MISSING
    return f"{each.difference:+.4g} ({each.low:+.4g} to {each.high:+.4g})"


def _show_arms(console: Terminal, report: Report) -> None:
    columns = ("arm", "share", "users", "answers", "most of one user")
    table = new_table(*columns, right=columns[1:])
    for arm in report.arms:
        share = MISSING if arm.weight is None else f"{arm.weight:.0%}"
        numbers = (f"{arm.users:,}", f"{arm.answers:,}", f"{arm.largest:,}")
        table.add_row(arm.arm, share, *numbers)
    ratio = report.ratio
    tested = (
        "whether users are split by these shares is not tested"
        if ratio.p is None or ratio.p_always is None
        else f"users are split by these shares: p {ratio.p:.2g} by chi-square, "
        f"{ratio.p_always:.2g} sequentially; an alarm is raised below 0.001"
    )
    console.print(described("Arms; the first is the control", table, tested))


def _show_comparisons(console: Terminal, report: Report) -> None:
    table = new_table(*COLUMNS, right=COLUMNS[2:-1])
    for found in report.comparisons:
        style = "bold red" if found.harm else None
        table.add_row(*row_of(found, report.error), style=style)
    title = f"Comparisons; at most {report.error:.0%} of equal arms are called different"
    console.print(described(title, table, NOTE))


def _show_ages(console: Terminal, report: Report) -> None:
    columns = ("arm", "time", "control", "value", "difference, always valid")
    table = new_table(*columns, right=columns[2:])
    for stretch, found in report.by_age:
        values = figure(found.control_value), figure(found.arm_value)
        table.add_row(found.arm, AGES[stretch], *values, interval(found.always))
    title = f"{report.metrics[0]} by time since the user's first answer in the experiment"
    console.print(described(title, table, "An effect that shrinks wears off as users get used."))


def _show_versions(console: Terminal, report: Report) -> None:
    columns = ("arm", "versions", "answers", *report.metrics)
    table = new_table(*columns, right=columns[1:])
    rows = [
        each
        for arm in report.arms
        for each in [row for row in report.by_version if row.arm == arm.arm][-_VERSION_ROWS:]
    ]
    for each in rows:
        span = str(each.first) if each.first == each.last else f"{each.first} to {each.last}"
        values = [f"{each.values[name]:.4g}" for name in report.metrics]
        table.add_row(each.arm, span, f"{each.answers:,}", *values)
    note = f"per answer, without intervals; the last {_VERSION_ROWS} rows of each arm"
    console.print(described("By model version", table, note))
