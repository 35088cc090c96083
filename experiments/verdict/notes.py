"""What is odd about an experiment: what was left out and why, and what changed while it ran."""

from __future__ import annotations

from everfresh.experiments.verdict.report import Report

BOT_SHARE = 0.1
"""One user with a greater share of all answers is named."""
_BOT_FROM = 100


def notes(report: Report) -> list[str]:
    """A sentence for each."""
    sums = report.sums
    counts = (
        (sums.crossed, "users were shown two arms; they count in none"),
        (sums.repeated, "outcomes were written again; each counts once"),
        (sums.beyond_horizon, "events came beyond the horizon of their answer; they do not count"),
        (sums.strange_values, "values were beyond a billion; they do not count"),
        (
            sums.surplus_answers,
            f"answers went beyond the {report.answers_per_user:,} that count of one user "
            "(verdict.answers_per_user)",
        ),
        (sums.surplus_arms, "outcomes name one arm too many; they do not count"),
        (
            sums.alone,
            "answers were made by one track alone, since the other was not there; they favour "
            "neither",
        ),
        (
            sums.odd_propensities,
            "answers name propensities that cannot be, or another share of explored places than "
            "before; nothing is estimated from them",
        ),
        (sums.missed, "outcomes were removed by retention before they were counted"),
        (sums.foreign, f"records are no outcomes, the last at {sums.last_foreign}"),
    )
    said = [f"{number:,} {what}." for number, what in counts if number]
    said += [f"{arm} was closed: {why}." for arm, why in report.closed.items()]
    said += _bots(report) + _definitions(report)
    said += [
        f"{each.metric} of {each.arm}: {each.why_not}."
        for each in report.comparisons
        if each.why_not and each.metric != report.metrics[0]
    ]
    if len(sums.horizons_ms) > 1:
        spans = ", ".join(f"{ms / 1000:g}" for ms in sorted(sums.horizons_ms))
        said.append(f"joins.horizon_s changed while it ran ({spans} s); so did what is counted.")
    counted = [each.control_value or each.arm_value for each in report.comparisons]
    counted += [each.credit_first or each.credit_second for each in report.preferences]
    if sums.types and not any(counted):
        seen = ", ".join(sorted(sums.types))
        said.append(f"No metric counts anything; types seen: {seen}. Set verdict.metrics.")
    return said


def _bots(report: Report) -> list[str]:
    shown = sum(arm.shown for arm in report.arms)
    if shown < _BOT_FROM:
        return []
    return [
        f"User {arm.bot} had {arm.largest / shown:.0%} of all answers, in {arm.arm}. Is that a "
        f"person? At most {report.answers_per_user:,} of one user count."
        for arm in report.arms
        if arm.largest > BOT_SHARE * shown
    ]


def _definitions(report: Report) -> list[str]:
    notes = []
    versions = list(dict.fromkeys(entry.definition for entry in report.sums.entries))
    if None in versions:
        notes.append(
            "Some exposures name no definition, so whether their users are split as wanted is not "
            "tested."
        )
    known = [str(version) for version in versions if version is not None]
    if len(known) > 1:
        notes.append(
            f"The definition changed while it ran (versions {', '.join(known)}). Users count in "
            "the arm that they were shown first."
        )
    notes += [
        f"{arm.arm} has no users; is its weight 0, or does its track not answer?"
        for arm in report.arms
        if not arm.users and report.sums.arms and arm.arm not in report.closed
    ]
    return notes
