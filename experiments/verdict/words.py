"""What a report says in plain English: first what is known, then what to do, then what is odd."""

from __future__ import annotations

import msgspec

from everfresh.contracts.experiments.interleaving import INTERLEAVED
from everfresh.experiments.verdict.comparison import Comparison
from everfresh.experiments.verdict.notes import notes
from everfresh.experiments.verdict.preference import Preference
from everfresh.experiments.verdict.report import DAY_MS, Report


class Words(msgspec.Struct, frozen=True):
    """``alarms`` come first and are loud: with one, the figures are not to be trusted, or an arm is
    to be stopped. ``known`` says what is certain and what is not, ``advice`` what to do next, and
    ``notes`` what was left out and why. ``stop`` names open arms that have crossed a guardrail."""

    alarms: list[str]
    known: list[str]
    advice: list[str]
    notes: list[str]
    stop: list[str]


def words(report: Report) -> Words:
    """The sentences."""
    alarms = _alarms(report)
    stop = list(
        dict.fromkeys(
            each.arm for each in report.comparisons if each.harm and each.arm not in report.closed
        )
    )
    if not report.sums.arms:
        known, advice = _nothing(report)
    elif [arm.arm for arm in report.arms] == [INTERLEAVED]:
        known, advice = _of_teams(report)
    elif len(report.arms) == 1:
        known = [f"{report.arms[0].arm} is the only arm, so there is nothing to compare it with."]
        advice = ["Define the experiment with a second arm."]
    else:
        known = [sentence for arm in report.arms[1:] for sentence in _of_arm(report, arm.arm)]
        advice = _advice(report, stop)
    return Words(alarms, known, advice, notes(report), stop)


def difference(found: Comparison) -> str:
    """The difference with its always-valid interval, in the metric's unit."""
    if found.always is None:
        return ""
    each = found.always
    return f"{each.difference:+.4g} (between {each.low:+.4g} and {each.high:+.4g})"


def _alarms(report: Report) -> list[str]:
    alarms = []
    if report.ratio.alarm:
        ps = f"p {_p(report.ratio.p)} by chi-square, {_p(report.ratio.p_always)} sequentially"
        counts = ", ".join(f"{arm.arm} {arm.users:,}" for arm in report.arms)
        alarms.append(
            f"The users are not split as the definition says ({counts}; {ps}). Something other "
            "than chance decides who is counted, so trust no figure of this report. Look for "
            "requests of one arm that fail, time out or send no request_id back."
        )
    for each in report.comparisons:
        if each.harm and each.guardrail is not None:
            alarms.append(
                f"{each.arm} is more than {each.guardrail:.0%} worse in {each.metric} than "
                f"{report.control} ({_figure(each.arm_value)} against "
                f"{_figure(each.control_value)}). "
                + ("It is closed." if each.arm in report.closed else "Close it.")
            )
    return alarms


def _nothing(report: Report) -> tuple[list[str], list[str]]:
    sums = report.sums
    if not sums.outcomes:
        return (
            ["There are no outcomes yet."],
            [
                "An answer's outcome is written once joins.horizon_s is over. If none comes after "
                "that, see `everfresh status`: does the worker run, and are requests answered?"
            ],
        )
    others = ", ".join(
        f"{name or 'no experiment'} {number:,}" for name, number in sorted(sums.others.items())
    )
    return (
        [f"No outcome names the experiment {report.experiment} yet (seen: {others})."],
        [
            "Check the name with `everfresh experiment list`. Answers of a new experiment have "
            "outcomes once joins.horizon_s is over."
        ],
    )


def _of_arm(report: Report, arm: str) -> list[str]:
    said = []
    found = [each for each in report.comparisons if each.arm == arm]
    for each in found:
        if each.always is None:
            continue
        if certain(each, report.error):
            word = "better" if each.better else "worse"
            said.append(
                f"{arm} is {word} than {report.control} in {each.metric}: "
                f"{_figure(each.arm_value)} against {_figure(each.control_value)}, "
                f"a difference of {difference(each)}."
            )
    first = found[0]
    if first.always is None:
        said.insert(0, f"It is too early to compare {arm} by {first.metric}: {first.why_not}.")
    elif not certain(first, report.error):
        said.insert(
            0,
            f"No difference of {arm} from {report.control} in {first.metric} is certain yet: it is "
            f"{difference(first)}.",
        )
    return said


def _of_teams(report: Report) -> tuple[list[str], list[str]]:
    """What is known of an interleaved experiment, and what to do."""
    if not report.preferences:
        return (
            ["No answer was made by both tracks, so there is nothing to compare."],
            ["See `everfresh tracks list`: are both served, and does each have a version?"],
        )
    first, second = report.teams
    known = []
    for each in report.preferences:
        counts = (
            f"for {each.won_second:,} users {second} did more, for {each.won_first:,} {first}, for "
            f"{each.tied:,} both the same; {second} leads by {lead(each)} of users"
        )
        if each.lead is not None and certain(each, report.error):
            better, worse = (second, first) if each.second_is_better else (first, second)
            known.append(f"{better} is better than {worse} in {each.metric}: {counts}.")
        elif each is report.preferences[0]:
            known.append(
                f"It is too early to compare {second} with {first} by {each.metric}: "
                f"{each.why_not}."
                if each.lead is None
                else f"No preference in {each.metric} is certain yet: {counts}."
            )
    decides = report.preferences[0]
    if decides.lead is not None and certain(decides, report.error):
        keep = second if decides.second_is_better else first
        return known, [f"You may stop now and keep {keep}: looking early costs no certainty."]
    if decides.lead is None:
        return known, ["Wait for more outcomes."]
    most = max(abs(decides.lead.low), abs(decides.lead.high))
    return known, [
        f"Wait for more outcomes, or stop if it is enough to know that neither leads by more than "
        f"{most:.1%} of users."
    ]


def lead(found: Preference) -> str:
    """By how much of all users the second team leads, with the always-valid interval."""
    each = found.lead
    if each is None:
        return ""
    return f"{each.difference:+.1%} (between {each.low:+.1%} and {each.high:+.1%})"


def certain(found: Comparison | Preference, error: float) -> bool:
    """Whether the difference holds, with the correction for all comparisons of the report."""
    return found.q is not None and found.q <= error


def _advice(report: Report, stop: list[str]) -> list[str]:
    if report.ratio.alarm:
        return ["Mend the split before you read on, and start again under a new name."]
    advice = [
        f"Close {arm}: `everfresh up` does that by itself at its next look at guardrails, "
        f"`everfresh experiment watch {report.experiment}` at once."
        for arm in stop
    ]
    first = [each for each in report.comparisons if each.metric == report.metrics[0]]
    for each in first:
        if each.arm in stop:
            continue
        if each.arm in report.closed:
            advice.append(
                f"{each.arm} is closed, so nobody gets it. End the experiment with `everfresh "
                f"experiment stop {report.experiment}`, or open the arm again with `everfresh "
                f"experiment reopen {report.experiment} {each.arm}`."
            )
            continue
        if certain(each, report.error):
            keep = each.arm if each.better else report.control
            advice.append(f"You may stop now and keep {keep}: looking early costs no certainty.")
        elif each.always is not None:
            advice.append(_wait(each, report))
        else:
            advice.append(f"Wait for more outcomes of {each.arm} and {report.control}.")
    return advice


def _wait(found: Comparison, report: Report) -> str:
    size = f"{report.effect:.0%} of {report.control}'s figure"
    if found.days_left is None:
        return (
            f"A difference of {size} would take more than ten years to show at this rate: raise "
            "verdict.effect, or give the experiment more users."
        )
    if found.days_left == 0.0:
        return (
            f"A difference of {size} would show by now, so {found.arm} differs by less than about "
            "that. You may stop."
        )
    hours = found.days_left * 24
    wait = f"{found.days_left:.1f} days" if hours >= 48 else f"{hours:.1f} hours"
    return f"Wait about {wait}: a difference of {size} would then show, at the rate so far."


def lasted(report: Report) -> str:
    """How long answers have come, in words."""
    if report.first_ms is None or report.last_ms is None:
        return "no time yet"
    seconds = (report.last_ms - report.first_ms) / 1000
    for unit, length in (("days", DAY_MS / 1000), ("hours", 3600.0), ("minutes", 60.0)):
        if seconds >= 2 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.0f} seconds"


def _p(value: float | None) -> str:
    return "not tested" if value is None else f"{value:.2g}"


def _figure(value: float | None) -> str:
    return "nothing" if value is None else f"{value:.4g}"
