"""The report on an experiment in the terminal, and as one JSON object."""

from __future__ import annotations

from typing import Any

import msgspec

from everfresh.experiments.verdict.comparison import Comparison
from everfresh.experiments.verdict.exploration import WhatIf
from everfresh.experiments.verdict.intervals import Interval
from everfresh.experiments.verdict.preference import Preference
from everfresh.experiments.verdict.report import Report
from everfresh.experiments.verdict.words import Words, certain, lasted, lead
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
COLUMNS = ("arm", "metric", "control", "value", "always valid", "one look", "q", "")
NOTE = (
    "always valid, one look: the difference, arm minus control, and where it lies. The interval "
    "that is always valid holds however often you look; the other is narrower, and right only if "
    "you look once, at a time chosen before. q: chance of such a difference between equal arms, "
    "corrected for the number of comparisons. ±: adjusted by what users did before."
)
PREFERENCE_NOTE = (
    "the arms' columns: users for whom that arm's items did more. leads: the second's share of "
    "users minus the first's; always valid, so look as often as you like. credit: what a user's "
    "events on the items of the first and of the second come to. sign test: without ties, for one "
    "look. q: chance of such a lead between equal tracks, corrected for the number of metrics."
)
WHAT_IF_COLUMNS = ("arm", "metric", "share", "IPS, always valid", "one look", "SNIPS", "effective")
WHAT_IF_NOTE = (
    "what the arm would have had per answer, had it explored this share of its places: 0% is its "
    "ranking alone, 100% the candidates alone. effective: places of that policy that would tell as "
    "much; where they are few, believe no figure."
)
_VERSION_ROWS = 5


def show(console: Terminal, report: Report, said: Words) -> None:
    """What is known first, then what to do, then the figures, then what is odd."""
    users = sum(arm.users for arm in report.arms)
    console.print(
        styled(
            (f"Experiment {report.experiment}", "bold"),
            f": {users:,} users, {report.sums.counted:,} answers, over {lasted(report)}",
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
    _show_by_chance(console, report)
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
    for exact in ("arms", "offsets", "credit"):
        del sums[exact]
    tree["ratio"]["alarm"] = report.ratio.alarm
    for row, each in zip(tree["comparisons"], report.comparisons, strict=True):
        row["certain"] = certain(each, report.error)
    for row, one in zip(tree["preferences"], report.preferences, strict=True):
        row["certain"] = certain(one, report.error)
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


def preference_columns(report: Report) -> tuple[str, ...]:
    """Over :func:`preference_row`."""
    first, second = report.teams
    return ("metric", first, second, "same", f"{second} leads by", "credit", "sign test", "q", "")


def preference_row(each: Preference, error: float) -> tuple[str, ...]:
    """One metric as text."""
    return (
        each.metric,
        f"{each.won_first:,}",
        f"{each.won_second:,}",
        f"{each.tied:,}",
        lead(each) or MISSING,
        f"{each.credit_first:.3g} and {each.credit_second:.3g}",
        MISSING if each.sign_p is None else f"{each.sign_p:.2g}",
        MISSING if each.q is None else f"{each.q:.2g}",
        _preference_state(each, error),
    )


def what_if_row(found: WhatIf) -> tuple[str, ...]:
    """One estimate as text, under ``WHAT_IF_COLUMNS``."""
    return (
        found.arm,
        found.metric,
        f"{found.share:.0%}" + (" (logged)" if found.share == found.logged_share else ""),
        found.why_not or interval(found.always),
        interval(found.ips),
        figure(found.snips),
        f"{found.effective:,.0f} of {found.places:,}",
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


def _preference_state(found: Preference, error: float) -> str:
    if found.lead is None:
        return "too early"
    if certain(found, error):
        return "better" if found.second_is_better else "worse"
    return "open"


def figure(value: float | None) -> str:
    """Four digits."""
    return MISSING if value is None else f"{value:.4g}"


def interval(each: Interval | None) -> str:
    """The difference and where it lies."""
    if each is None:
        return MISSING
    return f"{each.difference:+.3g} ({each.low:+.3g} to {each.high:+.3g})"


def _show_by_chance(console: Terminal, report: Report) -> None:
    """Interleaving, and what arms that explore would have had."""
    if report.preferences:
        table = new_table(*preference_columns(report), right=preference_columns(report)[1:-1])
        for each in report.preferences:
            table.add_row(*preference_row(each, report.error))
        title = f"Interleaving: {report.teams[1]} against {report.teams[0]}, in the same answers"
        console.print(described(title, table, PREFERENCE_NOTE))
    if report.what_if:
        table = new_table(*WHAT_IF_COLUMNS, right=WHAT_IF_COLUMNS[2:])
        for found in report.what_if:
            table.add_row(*what_if_row(found))
        console.print(described("Off-policy: with another share of places", table, WHAT_IF_NOTE))


def _show_arms(console: Terminal, report: Report) -> None:
    columns = ("arm", "share", "users", "answers", "most of one user")
    table = new_table(*columns, right=columns[1:])
    for arm in report.arms:
        share = MISSING if arm.weight is None else f"{arm.weight:.0%}"
        numbers = (f"{arm.users:,}", f"{arm.answers:,}", f"{arm.largest:,}")
        table.add_row(arm.arm, share, *numbers)
    ratio = report.ratio
    if report.teams:
        console.print(described("Answers", table, "two tracks make each; no user has one of them"))
        return
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
    columns = ("arm", "time", "control", "value", "always valid")
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
