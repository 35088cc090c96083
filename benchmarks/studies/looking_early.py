"""How often are equal arms called different, if one looks after every window? (Decision 42.)

    python -m benchmarks.studies.looking_early [--quick] [--json FILE]

Good: the always-valid interval misses the true difference in at most 5 % of all experiments, at any
look of them.

Users of known tastes come back again and again. After each window the arms are compared by clicks
per answer, as a report would do.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import msgspec
import numpy as np
from numpy.typing import NDArray

from benchmarks.harness.options import parse_options
from benchmarks.harness.report import show_table, write_figures
from everfresh.experiments.verdict.comparison import LEAST_EVENTS, LEAST_USERS
from everfresh.experiments.verdict.intervals import Interval, Sample, always_valid, welch

ERROR = 0.05
EXPERIMENTS, QUICK = 1000, 50


class Crowd(msgspec.Struct, frozen=True):
    """``users`` who each get Poisson(``rate``) answers per window, of which they click a share.

    Shares are drawn once per user from Beta with mean ``click`` and ``click + lift`` in the arm; a
    smaller ``sameness`` makes users differ more. ``joining`` lets users come evenly over the
    windows instead of all at once.
    """

    users: int
    windows: int
    rate: float = 0.5
    click: float = 0.1
    lift: float = 0.0
    sameness: float = 5.0
    joining: bool = False


def looks(crowd: Crowd, seed: int) -> Iterator[tuple[Sample, Sample, int, int]]:
    """Control and arm after each window (clicks per answer, by the delta method), and the answers
    and users seen so far; only where a report would give an interval."""
    draw = np.random.default_rng(seed)
    arm = draw.random(crowd.users) < 0.5
    mean = np.where(arm, crowd.click + crowd.lift, crowd.click)
    taste = draw.beta(mean * crowd.sameness, (1 - mean) * crowd.sameness)
    first = draw.integers(0, crowd.windows, crowd.users) if crowd.joining else np.zeros(crowd.users)
    answers = np.zeros(crowd.users)
    clicks = np.zeros(crowd.users)
    for window in range(crowd.windows):
        new = draw.poisson(crowd.rate, crowd.users) * (first <= window)
        answers += new
        clicks += draw.binomial(new, taste)
        seen = answers > 0
        groups = [seen & ~arm, seen & arm]
        if min(group.sum() for group in groups) < LEAST_USERS or clicks.sum() < LEAST_EVENTS:
            continue
        control, other = (_ratio(clicks[group], answers[group]) for group in groups)
        if control.variance + other.variance > 0:
            yield control, other, int(answers.sum()), int(seen.sum())


class Misses(msgspec.Struct):
    """In how many of ``experiments`` the true difference lay outside the interval: at any look of
    the always-valid one, of Welch's, and of an always-valid one that counts users; at the last look
    of Welch's."""

    experiments: int = 0
    always: int = 0
    peeked: int = 0
    by_users: int = 0
    last: int = 0


def misses(crowd: Crowd, experiments: int, seed: int, error: float, tuned_at: float) -> Misses:
    """Counted over seeds ``seed`` and following."""
    found = Misses()
    for number in range(experiments):
        always = peeked = by_users = last = False
        for control, arm, answers, users in looks(crowd, seed + number):
            once = welch(control, arm, error)
            last = _outside(once, crowd.lift)
            peeked |= last
            always |= _outside(always_valid(control, arm, answers, error, tuned_at), crowd.lift)
            by_users |= _outside(always_valid(control, arm, users, error, tuned_at), crowd.lift)
        found.experiments += 1
        found.always += always
        found.peeked += peeked
        found.by_users += by_users
        found.last += last
    return found


def _outside(interval: Interval, truth: float) -> bool:
    return not interval.low <= truth <= interval.high


def _ratio(clicks: NDArray[np.float64], answers: NDArray[np.float64]) -> Sample:
    ratio = clicks.sum() / answers.sum()
    rest = (clicks - ratio * answers) / answers.mean()
    return Sample(len(answers), float(ratio), float(rest.var(ddof=1)))


CROWDS = {
    "few, alike": (Crowd(100, 200, rate=1.0, sameness=1e6), 5000),
    "come back, alike": (Crowd(400, 150, sameness=1e6), 5000),
    "come back, alike, tuned to 400": (Crowd(400, 150, sameness=1e6), 400),
    "come back, differ": (Crowd(400, 150), 5000),
    "rare clicks": (Crowd(200, 150, click=0.02), 5000),
    "join one by one": (Crowd(2000, 80, joining=True), 5000),
    "an arm better by 0.03": (Crowd(400, 150, lift=0.03), 5000),
}
"""Each with what the always-valid interval is tuned to, in answers."""


def measure(experiments: int) -> dict[str, Misses]:
    """Every crowd, so many times."""
    found = {}
    for name, (crowd, tuned_at) in CROWDS.items():
        found[name] = misses(crowd, experiments, 1, ERROR, tuned_at)
        print(name, "is done", flush=True)
    return found


def show(found: dict[str, Misses]) -> None:
    """A row for each crowd."""
    shares = {name: _shares(each) for name, each in found.items()}
    rows = [(name, *(f"{share:.3f}" for share in row.values())) for name, row in shares.items()]
    number = next(iter(found.values())).experiments
    show_table(
        f"Share of {number:,} experiments whose interval missed the true difference",
        ("users", "always valid ↓", "counting users ↓", "Welch, every look ↓", "Welch, once ↓"),
        rows,
        good="always valid and Welch, once: at most 0.05.",
    )


def figures(found: dict[str, Misses]) -> dict[str, float]:
    """The same shares by name."""
    flat: dict[str, float] = {}
    for name, each in found.items():
        key = name.replace(", ", "_").replace(" ", "_")
        flat |= {f"{of}_{key}": share for of, share in _shares(each).items()}
        flat["experiments"] = each.experiments
    return flat


def _shares(found: Misses) -> dict[str, float]:
    counts = {"always": found.always, "by_users": found.by_users}
    counts |= {"peeked": found.peeked, "last": found.last}
    return {name: count / found.experiments for name, count in counts.items()}


def main() -> None:
    """Simulate and report."""
    wanted = parse_options("studies.looking_early", __doc__)
    began = time.monotonic()
    found = measure(QUICK if wanted.quick else EXPERIMENTS)
    show(found)
    write_figures(figures(found), began, wanted.json)


if __name__ == "__main__":
    main()
