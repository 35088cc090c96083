"""The report: all that a tally says of an experiment, as figures and as sentences.

Pure: it is made from the sums, the rules, and what the definition says.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from everfresh.contracts.experiments.metric import Metric
from everfresh.experiments.verdict.comparison import Comparison, Rules, compare, crossed
from everfresh.experiments.verdict.corrections import benjamini_hochberg
from everfresh.experiments.verdict.exploration import WhatIf, what_if
from everfresh.experiments.verdict.intervals import Interval
from everfresh.experiments.verdict.moments import UNIT, Moments
from everfresh.experiments.verdict.preference import Preference, preferences
from everfresh.experiments.verdict.sample_ratio import Block, SampleRatio, sample_ratio
from everfresh.experiments.verdict.tally import ArmTally, Sums

DAY_MS = 86_400_000


class Plan(msgspec.Struct, frozen=True):
    """What the definition says: the arms in order (the first is the control) with their weights,
    which of them are closed and why, and when it began and ended, UTC ms. Where there is none, the
    arms are those that were seen."""

    arms: dict[str, float] = {}
    closed: dict[str, str] = {}
    started_ms: int | None = None
    stopped_ms: int | None = None


class Limits(msgspec.Struct, frozen=True):
    """See ``contracts.settings.verdict``."""

    error: float
    tuned_at: float
    effect: float
    answers_per_user: int


class ArmFigures(msgspec.Struct):
    """One arm: its users and answers that count, all answers, the most answers of one user, and
    who that was."""

    arm: str
    weight: float | None
    users: int
    answers: int
    shown: int
    largest: int
    bot: str


class VersionFigures(msgspec.Struct):
    """What the versions from ``first`` to ``last`` brought: answers, and each metric per answer.
    There is no interval: users come back."""

    arm: str
    first: int
    last: int
    answers: int
    values: dict[str, float]


class Report(msgspec.Struct):
    """``by_age`` has comparisons by the stretch of time since a user's first answer (see
    ``user_totals.AGES_MS``), of the first metric. ``teams`` are the two arms of an interleaved
    experiment, and ``preferences`` say which of them users prefer; both are empty in others.
    ``what_if`` are estimates of what arms that explore would have earned with another share."""

    experiment: str
    control: str
    metrics: list[str]
    arms: list[ArmFigures]
    ratio: SampleRatio
    comparisons: list[Comparison]
    by_age: list[tuple[int, Comparison]]
    by_version: list[VersionFigures]
    first_ms: int | None
    last_ms: int | None
    error: float
    effect: float
    answers_per_user: int
    closed: dict[str, str]
    sums: Sums
    teams: list[str] = []
    preferences: list[Preference] = []
    what_if: list[WhatIf] = []


def make_report(
    name: str,
    sums: Sums,
    metrics: Sequence[Metric],
    plan: Plan,
    limits: Limits,
    shares: Sequence[float] = (0.0, 1.0),
) -> Report:
    """The figures. Whatever is missing is told of by their absence. ``shares`` are those of places
    that an arm which explores might have explored instead."""
    names = [*plan.arms, *sorted(arm for arm in sums.arms if arm not in plan.arms)]
    control = names[0] if names else ""
    first, last = sums.first_ms, sums.last_ms
    days = (last - first) / DAY_MS if first is not None and last is not None else 0.0
    rules = Rules(limits.error, limits.tuned_at, limits.effect, days)
    return Report(
        experiment=name,
        control=control,
        metrics=[metric.name for metric in metrics],
        arms=[_arm(arm, plan.arms.get(arm), sums.arms.get(arm)) for arm in names],
        ratio=sample_ratio(_blocks(sums)),
        comparisons=_comparisons(sums, names, metrics, rules),
        by_age=_by_age(sums, names, metrics, rules),
        by_version=[each for arm in names for each in _by_version(arm, sums, metrics)],
        first_ms=first,
        last_ms=last,
        error=limits.error,
        effect=limits.effect,
        answers_per_user=limits.answers_per_user,
        closed=plan.closed,
        sums=sums,
        teams=sums.teams,
        preferences=_preferences(sums, metrics, limits),
        what_if=_what_if(sums, metrics, limits, shares),
    )


def _arm(name: str, weight: float | None, tally: ArmTally | None) -> ArmFigures:
    if tally is None:
        return ArmFigures(name, weight, 0, 0, 0, 0, "")
    moments = tally.moments
    answers = moments.sums[0] // UNIT
    return ArmFigures(name, weight, moments.users, answers, tally.shown, tally.largest, tally.bot)


def _blocks(sums: Sums) -> list[Block]:
    """Users by the definition they came under. Weights are those that exposures name; what these
    leave of 1 is an arm that nobody came to."""
    blocks = []
    for definition in dict.fromkeys(entry.definition for entry in sums.entries):
        entries = [entry for entry in sums.entries if entry.definition == definition]
        named = [
            entry.probability
            for entry in entries
            if entry.probability is not None and 0 < entry.probability <= 1
        ]
        if len(named) < len(entries):
            continue  # assigned elsewhere: nobody says what the shares should be
        rest = 1.0 - sum(named)
        missing = rest > 1e-6
        users = [entry.users for entry in entries] + [0] * missing
        blocks.append(Block(users, named + [rest] * missing))
    return blocks


def _comparisons(
    sums: Sums, names: Sequence[str], metrics: Sequence[Metric], rules: Rules
) -> list[Comparison]:
    guardrails = sum(metric.limit is not None for metric in metrics) * max(1, len(names) - 1)
    # An arm is stopped wrongly by any of its guardrails at most as often as the error says.
    strict = msgspec.structs.replace(rules, error=rules.error / max(1, guardrails))
    made: list[Comparison] = []
    for arm in names[1:]:
        for entry, metric in enumerate(metrics, 1):
            pair = _moments(sums, names[0], metrics), _moments(sums, arm, metrics)
            found = compare(metric, entry, arm, *pair, rules)
            found.harm = crossed(metric, entry, *pair, strict)
            made.append(found)
    # The first metric decides, so what else is looked at takes nothing from it.
    first = metrics[0].name
    _correct([(each, each.always) for each in made if each.metric == first])
    _correct([(each, each.always) for each in made if each.metric != first])
    return made


def _correct(made: Sequence[tuple[Comparison | Preference, Interval | None]]) -> None:
    """Fill in ``q`` where there is an interval."""
    known = [(each, found.p) for each, found in made if found is not None]
    adjusted = benjamini_hochberg([p for _, p in known])
    for (each, _), q in zip(known, adjusted, strict=True):
        each.q = q


def _preferences(sums: Sums, metrics: Sequence[Metric], limits: Limits) -> list[Preference]:
    if sums.credit is None:
        return []
    made = preferences(sums.credit, metrics, limits.error, limits.tuned_at)
    for some in (made[:1], made[1:]):  # the first decides, as it does between arms
        _correct([(each, each.lead) for each in some])
    return made


def _what_if(
    sums: Sums, metrics: Sequence[Metric], limits: Limits, shares: Sequence[float]
) -> list[WhatIf]:
    return [
        each
        for name, arm in sorted(sums.arms.items())
        if arm.explored is not None and arm.explored_share is not None
        for share in shares
        for each in what_if(
            name, arm.explored, metrics, arm.explored_share, share, limits.error, limits.tuned_at
        )
    ]


def _by_age(
    sums: Sums, names: Sequence[str], metrics: Sequence[Metric], rules: Rules
) -> list[tuple[int, Comparison]]:
    """Of the first metric, for each stretch in which both arms have users."""
    control = sums.arms.get(names[0]) if names else None
    made = []
    for name in names[1:]:
        arm = sums.arms.get(name)
        if control is None or arm is None:
            continue
        for stretch, pair in enumerate(zip(control.ages, arm.ages, strict=True)):
            if pair[0].users and pair[1].users:
                both = [_with_nothing_before(each) for each in pair]
                found = compare(metrics[0], 1, name, both[0], both[1], rules)
                made.append((stretch, found))
    return made


def _with_nothing_before(moments: Moments) -> Moments:
    """The same users, in the layout of whole vectors."""
    size = len(moments.sums)
    products: list[int] = []
    at = 0
    for row in range(size):
        products += moments.products[at : at + size - row] + [0] * size
        at += size - row
    products += [0] * (size * (size + 1) // 2)
    return Moments(moments.users, [*moments.sums, *[0] * size], products)


def _by_version(arm: str, sums: Sums, metrics: Sequence[Metric]) -> list[VersionFigures]:
    tally = sums.arms.get(arm)
    if tally is None:
        return []
    step = tally.version_step
    made = []
    for at, totals in sorted(tally.versions.items()):
        values = {}
        for metric, total in zip(metrics, totals[1:], strict=True):
            amount = total / UNIT if metric.measure.value == "value of" else float(total)
            values[metric.name] = amount / totals[0]
        first = max(1, at * step)
        made.append(VersionFigures(arm, first, at * step + step - 1, totals[0], values))
    return made


def _moments(sums: Sums, arm: str, metrics: Sequence[Metric]) -> Moments:
    tally = sums.arms.get(arm)
    return tally.moments if tally else Moments.of_size(2 * (1 + len(metrics)))
