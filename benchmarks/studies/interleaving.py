"""How many users does interleaving need, beside a split into two arms? (Decision 51.)

    python -m benchmarks.studies.interleaving [--quick] [--json FILE]

Good: equal tracks are called different in at most 5 % of all experiments, at any look of them; and
the better of two tracks is found with fewer users than a split (A/B) of the same users needs.

Each simulated user has a taste of items of their own. A track ranks them by that taste, blurred:
the better track by less. A user clicks an item by taste and place. An experiment is the same users
with the same rankings twice: answered by one track each, and by both together.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from benchmarks.harness.options import parse_options
from benchmarks.harness.report import show_table, write_figures
from everfresh.contracts.experiments.draws import coins
from everfresh.contracts.experiments.interleaving import SECOND, team_draft
from everfresh.experiments.verdict.comparison import LEAST_EVENTS, LEAST_USERS
from everfresh.experiments.verdict.intervals import Interval, Sample, always_valid, welch

ERROR, TUNED_AT = 0.05, 5000
ITEMS, K = 30, 10
EXPERIMENTS, QUICK = 300, 20
_POWER_USERS, _QUICK_POWER_USERS = 6000, 400
_DETECTED = (1.959964 + 0.841621) ** 2
"""Squared, in standard errors: the difference that one look finds in 4 of 5 cases at 5 %."""


class Crowd(msgspec.Struct, frozen=True):
    """``users`` who get Poisson(``rate``) answers in each of ``windows``. Both tracks blur tastes
    by ``blur`` standard deviations, the second by ``better`` less; ``same`` gives both one ranking.
    """

    users: int
    windows: int
    rate: float = 0.5
    blur: float = 1.0
    better: float = 0.0
    same: bool = False


class Seen(msgspec.Struct):
    """Per user: answers, clicks on the first team's items and on the second's, over time, shape
    (windows, users); and the same users in a split, ``arm`` 0 or 1, with ``clicks``. ``expected``
    are each user's expected clicks on an answer of either track alone, shape (2, users)."""

    answers: NDArray[np.int64]
    first: NDArray[np.int64]
    second: NDArray[np.int64]
    arm: NDArray[np.bool_]
    clicks: NDArray[np.int64]
    expected: NDArray[np.float64]


def simulate(crowd: Crowd, seed: int, *, split: bool = False) -> Seen:
    """One experiment; the drafts are the product's own. Without ``split``, nobody clicks there."""
    draw = np.random.default_rng(seed)
    taste = draw.normal(size=(crowd.users, ITEMS))
    blurs = (crowd.blur, crowd.blur - crowd.better)
    rankings = [
        np.argsort(-(taste + blur * draw.normal(size=taste.shape)), axis=1)[:, :K] for blur in blurs
    ]
    if crowd.same:
        rankings[1] = rankings[0]
    eager = draw.beta(2.0, 4.0, size=(crowd.users, 1))
    chance = eager / (1 + np.exp(2 - taste))
    by_place = 1 / np.log2(np.arange(K) + 2)
    arm = draw.random(crowd.users) < 0.5
    shape = (crowd.windows, crowd.users)
    answers = draw.poisson(crowd.rate, shape)
    expected = np.array(
        [
            (np.take_along_axis(chance, ranking, axis=1) * by_place).sum(axis=1)
            for ranking in rankings
        ]
    )
    first, second, clicks = (np.zeros(shape, int) for _ in range(3))
    seen = Seen(answers, first, second, arm, clicks, expected)
    for user in range(crowd.users):
        lists = [ranking[user].tolist() for ranking in rankings]
        own = lists[int(arm[user])]
        for window, number in enumerate(answers[:, user]):
            for request in range(number):
                if split:
                    clicked = draw.random(K) < chance[user, own] * by_place
                    seen.clicks[window, user] += clicked.sum()
                tossed = coins(str(seed), user, f"{window}-{request}")
                picked = team_draft((lists[0], lists[1]), K, tossed)
                shown = [each.item for each in picked]
                clicked = draw.random(K) < chance[user, shown] * by_place
                for at in np.flatnonzero(clicked):
                    (seen.second if picked[at].team == SECOND else seen.first)[window, user] += 1
    return seen


def lead_of(first: NDArray[np.int64], second: NDArray[np.int64]) -> Sample:
    """Of users, by their clicks on either team's items."""
    lead = np.sign(second - first)
    return Sample(len(lead), float(lead.mean()), float(lead.var(ddof=1)))


def credit_of(first: NDArray[np.int64], second: NDArray[np.int64]) -> Sample:
    """Clicks per user on the second team's items beyond those on the first's."""
    credit = second - first
    return Sample(len(credit), float(credit.mean()), float(credit.var(ddof=1)))


class Misses(msgspec.Struct):
    """In how many experiments 0 lay outside an interval, though the tracks are as good: of the lead
    at any look (always valid, and Student's t) and at the last; of the credit at any look."""

    experiments: int = 0
    always: int = 0
    peeked: int = 0
    last: int = 0
    credit: int = 0


def misses(crowd: Crowd, experiments: int, seed: int) -> Misses:
    """Counted over seeds ``seed`` and following."""
    found = Misses()
    for number in range(experiments):
        seen = simulate(crowd, seed + number)
        totals = [np.cumsum(each, axis=0) for each in (seen.answers, seen.first, seen.second)]
        always = peeked = last = credit = False
        for answers, first, second in zip(*totals, strict=True):
            in_it = answers > 0
            sample = lead_of(first[in_it], second[in_it])
            decided = int(np.count_nonzero(first != second))
            if in_it.sum() < LEAST_USERS or decided < LEAST_EVENTS or not sample.variance:
                continue
            nothing, number_of = Sample(sample.users, 0.0, 0.0), int(answers.sum())
            last = _outside(welch(nothing, sample, ERROR))
            peeked |= last
            always |= _outside(always_valid(nothing, sample, number_of, ERROR, TUNED_AT))
            of_credit = credit_of(first[in_it], second[in_it])
            credit |= _outside(always_valid(nothing, of_credit, number_of, ERROR, TUNED_AT))
        found.experiments += 1
        found.always += always
        found.peeked += peeked
        found.last += last
        found.credit += credit
    return found


def users_needed(crowd: Crowd, seed: int) -> dict[str, float]:
    """Users that one look needs to find the better track in 4 of 5 cases: by a split into two arms
    (clicks per answer), by the lead and by the credit of interleaved answers."""
    seen = simulate(crowd, seed, split=True)
    first, second = seen.first.sum(axis=0), seen.second.sum(axis=0)
    answers, clicks = seen.answers.sum(axis=0), seen.clicks.sum(axis=0)
    in_it = answers > 0
    arms = [in_it & ~seen.arm, in_it & seen.arm]
    ratios = []
    for each in arms:
        ratio = clicks[each].sum() / answers[each].sum()
        rest = (clicks[each] - ratio * answers[each]) / answers[each].mean()
        ratios.append((ratio, rest.var(ddof=1)))
    # The true difference: the observed one is mostly chance where few users are simulated.
    means = [float(np.average(each, weights=answers)) for each in seen.expected]
    difference = means[1] - means[0]
    split = 2 * _DETECTED * (ratios[0][1] + ratios[1][1]) / difference**2
    lead = lead_of(first[in_it], second[in_it])
    credit = credit_of(first[in_it], second[in_it])
    return {
        "split": float(split),
        "lead": _DETECTED * lead.variance / lead.mean**2,
        "credit": _DETECTED * credit.variance / credit.mean**2,
        "lift": difference / means[0],
    }


def _outside(interval: Interval) -> bool:
    return not interval.low <= 0.0 <= interval.high


EQUAL = {
    "one ranking": Crowd(120, 20, same=True),
    "rankings as good": Crowd(120, 20),
    "few clicks each": Crowd(300, 20, rate=0.1),
}
BETTER = {
    "few answers each": Crowd(_POWER_USERS, 1, rate=2.0, better=0.3),
    "many answers each": Crowd(_POWER_USERS // 2, 1, rate=10.0, better=0.3),
}


class Measured(msgspec.Struct):
    """Of equal tracks what was :class:`Misses`, of a better one :func:`users_needed`, by crowd."""

    missed: dict[str, Misses]
    needed: dict[str, dict[str, float]]


def measure(*, quick: bool) -> Measured:
    """Simulate all crowds."""
    power = {"users": _QUICK_POWER_USERS} if quick else {}
    return Measured(
        {name: misses(crowd, QUICK if quick else EXPERIMENTS, 1) for name, crowd in EQUAL.items()},
        {
            name: users_needed(msgspec.structs.replace(crowd, **power), 1)
            for name, crowd in BETTER.items()
        },
    )


def show(found: Measured) -> None:
    """Two tables."""
    number = next(iter(found.missed.values())).experiments
    show_table(
        f"Share of {number:,} experiments with equal tracks that called them different",
        ("users", "always valid ↓", "credit, always valid ↓", "t, every look ↓", "t, once ↓"),
        [
            (name, *(f"{share:.3f}" for share in _shares(each).values()))
            for name, each in found.missed.items()
        ],
        good="always valid and once: at most 0.05.",
    )
    show_table(
        "Users that one look needs to find the better track in 4 of 5 cases",
        ("users", "lift in a split", "split ↓", "interleaved, lead ↓", "interleaved, credit ↓"),
        [
            (
                name,
                f"{each['lift']:+.1%}",
                *(f"{each[of]:,.0f}" for of in ("split", "lead", "credit")),
            )
            for name, each in found.needed.items()
        ],
        good="interleaving needs fewer.",
    )


def figures(found: Measured) -> dict[str, float]:
    """The flat object."""
    flat: dict[str, float] = {}
    for name, each in found.missed.items():
        key = name.replace(" ", "_")
        flat |= {f"{of}_{key}": share for of, share in _shares(each).items()}
    for name, users in found.needed.items():
        flat |= {f"{of}_{name.replace(' ', '_')}": value for of, value in users.items()}
    return flat


def _shares(found: Misses) -> dict[str, float]:
    counts = {"always": found.always, "credit": found.credit}
    counts |= {"peeked": found.peeked, "last": found.last}
    return {name: count / found.experiments for name, count in counts.items()}


def main(argv: Sequence[str] | None = None) -> None:
    """Simulate and report."""
    wanted = parse_options("studies.interleaving", __doc__, argv)
    began = time.monotonic()
    found = measure(quick=wanted.quick)
    show(found)
    write_figures(figures(found), began, wanted.json)


if __name__ == "__main__":
    main()
