"""Which of two tracks users prefer, where both made each answer together (interleaving).

A user compares both tracks, so the user is a sample of one number: by how much the second team was
ahead. Two of them are told for each metric:

- *lead*: whose items did more for the user, as +1 (the second's), -1 (the first's) or 0. Its mean
  is the share of users for whom the second won minus that for whom the first did. A user counts
  once, however much the user does, so this decides.
- *credit*: how much more the second's items did, per user.

The intervals are those of one sample: Student's t, and the always-valid one beside it, whose time
is counted in answers (decision 42). The sign test leaves ties out, and is for one look.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from scipy import special

from everfresh.contracts.experiments.interleaving import INTERLEAVED
from everfresh.contracts.experiments.metric import Metric
from everfresh.contracts.outcome import Outcome
from everfresh.experiments.verdict.comparison import LEAST_EVENTS, LEAST_USERS
from everfresh.experiments.verdict.intervals import Interval, Sample, always_valid, welch
from everfresh.experiments.verdict.moments import UNIT, Moments
from everfresh.experiments.verdict.user_totals import amount, read_outcome

_PER_METRIC = 3
"""Entries of a metric in a user's vector: both credits, and the lead. Before all stand answers."""


class Preference(msgspec.Struct, kw_only=True):
    """One metric. ``credit_first`` and ``credit_second`` are per user.

    ``lead`` and ``credit`` are the differences, second minus first, by the always-valid interval;
    the ``one_look`` ones are right for a look at a time chosen before. ``sign_p`` is that of the
    sign test. ``q`` is the always-valid p-value of the lead, corrected for the metrics but for the
    first. All are ``None`` where it is too early (``why_not``).
    """

    metric: str
    more: bool
    users: int
    won_first: int
    won_second: int
    tied: int
    credit_first: float
    credit_second: float
    lead: Interval | None = None
    lead_one_look: Interval | None = None
    credit: Interval | None = None
    credit_one_look: Interval | None = None
    sign_p: float | None = None
    q: float | None = None
    why_not: str = ""

    @property
    def second_is_better(self) -> bool | None:
        """Whether the second is the better one, if the lead is no chance; ``None`` too early."""
        return None if self.lead is None else (self.lead.difference > 0) == self.more


def teams_of(outcome: Outcome) -> list[str] | None:
    """The two arms that made the answer; ``None`` where one track made it alone."""
    exposure = outcome.exposure
    if exposure.arm != INTERLEAVED or len(exposure.teams) != 2:
        return None
    if len(exposure.team_of) != len(exposure.items):
        return None
    return [team.arm for team in exposure.teams]


def credit_of(outcome: Outcome, metrics: Sequence[Metric]) -> list[int]:
    """What an interleaved answer brought: 1 for itself, then each metric's total of both teams."""
    team_of = outcome.exposure.team_of
    totals = []
    for team in (0, 1):
        own = [
            each
            for each in outcome.feedback
            if each.position is not None
            and 0 <= each.position < len(team_of)
            and team_of[each.position] == team
        ]
        totals.append(read_outcome(msgspec.structs.replace(outcome, feedback=own), metrics).totals)
    pairs = zip(totals[0][1:], totals[1][1:], strict=True)
    return [1, *(total for pair in pairs for total in pair)]


def credit_size(metrics: Sequence[Metric]) -> int:
    """Entries of :func:`credit_vector`."""
    return 1 + _PER_METRIC * len(metrics)


def credit_vector(credit: Sequence[int], metrics: Sequence[Metric]) -> list[int]:
    """The entries of ``Moments`` for a user of these totals."""
    entries = [credit[0] * UNIT]
    for at, metric in enumerate(metrics):
        first, second = (amount(metric, total) for total in credit[2 * at + 1 : 2 * at + 3])
        lead = (second > first) - (second < first)
        entries += [first, second, lead * UNIT]
    return entries


def preferences(
    moments: Moments, metrics: Sequence[Metric], error: float, tuned_at: float
) -> list[Preference]:
    """All metrics, without ``q``."""
    return [
        _preference(moments, metric, 1 + _PER_METRIC * at, error, tuned_at)
        for at, metric in enumerate(metrics)
    ]


def _preference(
    moments: Moments, metric: Metric, entry: int, error: float, tuned_at: float
) -> Preference:
    users = moments.users
    # Squares of leads are ones, so both numbers follow from the exact sums.
    ahead = moments.sums[entry + 2] // UNIT
    decided = _product(moments, entry + 2) // UNIT**2
    won_first, won_second = (decided - ahead) // 2, (decided + ahead) // 2
    found = Preference(
        metric=metric.name,
        more=metric.more,
        users=users,
        won_first=won_first,
        won_second=won_second,
        tied=users - decided,
        credit_first=moments.sums[entry] / UNIT / max(1, users),
        credit_second=moments.sums[entry + 1] / UNIT / max(1, users),
    )
    if users < LEAST_USERS:
        found.why_not = f"{users} users had answers of both tracks; {LEAST_USERS} are needed"
    elif decided < LEAST_EVENTS:
        found.why_not = (
            f"{decided} users had one team ahead; {LEAST_EVENTS} are needed"
            if decided
            else f"no outcome has a {' or '.join(metric.types)} that favours a team yet"
        )
    if found.why_not:
        return found
    seen = moments.sums[0] // UNIT
    mean, spread = moments.mean(), moments.covariance()
    nothing = Sample(users, 0.0, 0.0)
    lead = Sample(users, float(mean[entry + 2]), float(spread[entry + 2, entry + 2]))
    if lead.variance > 0:
        found.lead_one_look = welch(nothing, lead, error)
        found.lead = always_valid(nothing, lead, seen, error, tuned_at)
    variance = spread[entry, entry] + spread[entry + 1, entry + 1] - 2 * spread[entry, entry + 1]
    credit = Sample(users, float(mean[entry + 1] - mean[entry]), float(variance))
    if credit.variance > 0:
        found.credit_one_look = welch(nothing, credit, error)
        found.credit = always_valid(nothing, credit, seen, error, tuned_at)
    fewer = min(won_first, won_second)
    found.sign_p = min(1.0, 2 * float(special.bdtr(fewer, decided, 0.5)))
    if found.lead is None:
        found.why_not = "every user has the same team ahead, so nothing can be said of chance"
    return found


def _product(moments: Moments, entry: int) -> int:
    """The sum of squares of an entry."""
    size = len(moments.sums)
    at = sum(size - row for row in range(entry))
    return moments.products[at]
