"""The report on an experiment as one HTML page: no script, nothing loaded from elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from everfresh.contracts.foreign import printable
from everfresh.experiments.verdict.report import Report
from everfresh.experiments.verdict.words import Words, lasted
from everfresh.infra.cli.views.experiment_plots import plots
from everfresh.infra.cli.views.experiment_report import (
    AGES,
    COLUMNS,
    NOTE,
    PREFERENCE_NOTE,
    WHAT_IF_COLUMNS,
    WHAT_IF_NOTE,
    figure,
    interval,
    preference_columns,
    preference_row,
    row_of,
    what_if_row,
)

_HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<title>{title}</title><style>
body {{ font: 16px/1.5 system-ui, sans-serif; color: #222; max-width: 62rem; margin: 2rem auto;
 padding: 0 1rem; }}
h1 {{ font-size: 1.5rem; margin-bottom: .2rem; }} h2 {{ font-size: 1.1rem; margin-top: 2rem; }}
table {{ border-collapse: collapse; font-size: .88rem; width: 100%; }}
th {{ text-align: left; border-bottom: 2px solid #888; padding: .25rem .6rem .25rem 0; }}
td {{ border-bottom: 1px solid #ddd; padding: .25rem .6rem .25rem 0;
 font-variant-numeric: tabular-nums; }}
.alarm {{ background: #fdecea; border-left: 6px solid #c53030; padding: .6rem 1rem; }}
.known {{ font-size: 1.1rem; font-weight: 600; }} .dim {{ color: #666; font-size: .88rem; }}
svg {{ max-width: 100%; height: auto; }} .scroll {{ overflow-x: auto; }}
</style></head><body>
"""


def page(report: Report, said: Words) -> str:
    """The whole page. What stands in it from outside (arms, users) is escaped."""
    title = f"Experiment {report.experiment}"
    users = sum(arm.users for arm in report.arms)
    parts = [_HEAD.format(title=_text(title)), f"<h1>{_text(title)}</h1>"]
    parts.append(
        _paragraph(
            f"{users:,} users, {report.sums.counted:,} answers, over {lasted(report)}", "dim"
        )
    )
    parts += [_paragraph(sentence, "alarm") for sentence in said.alarms]
    parts += [_paragraph(sentence, "known") for sentence in said.known]
    parts += [_paragraph(f"Next: {sentence}") for sentence in said.advice]
    parts += [f"<figure>{svg}</figure>" for svg in plots(report)]
    parts += [*_preferences(report), *_comparisons(report), *_arms(report), *_ages(report)]
    if said.notes:
        notes = "".join(f"<li>{_text(note)}</li>" for note in said.notes)
        parts.append(f"<h2>Notes</h2><ul>{notes}</ul>")
    return "\n".join([*parts, "</body></html>\n"])


def _preferences(report: Report) -> Iterable[str]:
    if report.preferences:
        yield f"<h2>Interleaving: {_text(report.teams[1])} against {_text(report.teams[0])}</h2>"
        rows = [preference_row(each, report.error) for each in report.preferences]
        yield _table(preference_columns(report), rows)
        yield _paragraph(PREFERENCE_NOTE, "dim")
    if report.what_if:
        yield "<h2>Off-policy: with another share of places</h2>"
        yield _table(WHAT_IF_COLUMNS, [what_if_row(each) for each in report.what_if])
        yield _paragraph(WHAT_IF_NOTE, "dim")


def _comparisons(report: Report) -> Iterable[str]:
    if report.comparisons:
        yield "<h2>Comparisons</h2>"
        yield _table(COLUMNS, [row_of(found, report.error) for found in report.comparisons])
        yield _paragraph(NOTE, "dim")


def _arms(report: Report) -> Iterable[str]:
    rows = [
        (
            arm.arm,
            "" if arm.weight is None else f"{arm.weight:.0%}",
            f"{arm.users:,}",
            f"{arm.answers:,}",
            f"{arm.largest:,}",
        )
        for arm in report.arms
    ]
    if rows:
        yield "<h2>Arms; the first is the control</h2>"
        yield _table(("arm", "share", "users", "answers", "most of one user"), rows)


def _ages(report: Report) -> Iterable[str]:
    rows = [
        (found.arm, AGES[stretch], figure(found.control_value), figure(found.arm_value),
         interval(found.always))
        for stretch, found in report.by_age
    ]  # fmt: skip
    if rows:
        yield f"<h2>{_text(report.metrics[0])} by time since the user's first answer</h2>"
        yield _table(("arm", "time", "control", "value", "always valid"), rows)


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f"<th>{_text(name)}</th>" for name in columns)
    body = "".join(
        f"<tr>{''.join(f'<td>{_text(cell)}</td>' for cell in row)}</tr>\n" for row in rows
    )
    return f'<div class="scroll"><table><tr>{head}</tr>\n{body}</table></div>'


def _paragraph(sentence: str, style: str = "") -> str:
    return f'<p class="{style}">{_text(sentence)}</p>'


def _text(words: str) -> str:
    return escape(printable(words))
