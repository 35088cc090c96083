"""The tally: outcomes folded into per-user totals, and these into the exact sums of each arm.

Pure. The cost of an outcome does not depend on how many there were: its user's vector is taken out
of the arm's sums, changed, and put back. All is exact and a sum over users, so a tally that goes on
from where it stopped equals one that was made from the beginning, bit for bit.

- A user belongs to the first arm that was shown. One who is shown another is *crossed*: counted,
  and left out of every sum.
- What a user did before the first answer in the experiment is what estimates are adjusted by.
- Of each user the first ``answers_per_user`` answers count, so that a bot's weight is bounded.
- An outcome that was written again (same id) counts once.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Protocol

import msgspec

from everfresh.contracts.errors import ForeignRecord
from everfresh.contracts.experiments.interleaving import INTERLEAVED
from everfresh.contracts.experiments.metric import Metric
from everfresh.contracts.outcome import Outcome
from everfresh.contracts.sequence import encode_id
from everfresh.experiments.verdict.exploration import earned, earned_size, earned_vector, share_of
from everfresh.experiments.verdict.moments import Moments
from everfresh.experiments.verdict.preference import (
    credit_of,
    credit_size,
    credit_vector,
    teams_of,
)
from everfresh.experiments.verdict.user_totals import (
    AGES_MS,
    UserTotals,
    added,
    age,
    age_vector,
    read_outcome,
    vector,
)

MOST_ARMS = 64
"""Arms that are told apart; whoever writes more of them fills no memory."""
MOST_DEFINITIONS = 1000
_VERSION_BINS = 64
_TYPES = 300
_ID = re.compile(r"([0-9]{1,9})-([0-9]{1,18})")


class Users(Protocol):
    """Where totals of users are kept, by :func:`encode_id` of their ids."""

    def get(self, key: bytes) -> UserTotals | None:
        """What is known of a user."""

    def put(self, key: bytes, user: UserTotals) -> None:
        """Write it down with the next commit."""

    def first_time(self, partition: int, offset: int) -> bool:
        """Whether this exposure's outcome is new; from now on it is not."""


class Entry(msgspec.Struct):
    """Users whose first answer was in an arm under one definition; ``probability`` as exposures
    name it, ``None`` where they do not."""

    definition: int | None
    arm: str
    probability: float | None
    users: int = 0


class ArmTally(msgspec.Struct):
    """The sums of one arm. ``versions`` holds answers and metrics by model version divided by
    ``version_step``. ``explored`` are the sums of what its answers by chance earned, with the share
    of their places (see ``exploration``). ``shown`` counts all answers; ``largest`` is the most of
    one user, ``bot`` who that is."""

    moments: Moments
    ages: list[Moments]
    versions: dict[int, list[int]] = {}
    version_step: int = 1
    shown: int = 0
    largest: int = 0
    bot: str = ""
    explored: Moments | None = None
    explored_share: float | None = None


class Sums(msgspec.Struct):
    """All of a tally but the users. ``offsets`` says where to read on, by partition.

    Of an interleaved experiment, ``teams`` are the two arms, ``credit`` the sums over its users
    (see ``preference``), and ``alone`` the answers that one track made alone.
    """

    offsets: dict[int, int] = {}
    arms: dict[str, ArmTally] = {}
    entries: list[Entry] = []
    horizons_ms: list[int] = []
    types: dict[str, int] = {}
    others: dict[str, int] = {}
    first_ms: int | None = None
    last_ms: int | None = None
    outcomes: int = 0
    counted: int = 0
    repeated: int = 0
    foreign: int = 0
    last_foreign: str = ""
    missed: int = 0
    crossed: int = 0
    surplus_answers: int = 0
    surplus_arms: int = 0
    beyond_horizon: int = 0
    strange_values: int = 0
    teams: list[str] = []
    credit: Moments | None = None
    alone: int = 0
    odd_propensities: int = 0


class Tally:
    """Of one experiment. It changes ``sums`` and, through ``users``, what is kept of each user."""

    def __init__(
        self, name: str, metrics: Sequence[Metric], answers_per_user: int, sums: Sums
    ) -> None:
        self.sums = sums
        self._name = name
        self._metrics = metrics
        self._most = answers_per_user

    def add(self, outcome: Outcome, users: Users) -> None:
        """Take in one outcome; ``ForeignRecord`` where its id is none that the worker gives."""
        found = _ID.fullmatch(outcome.id)
        if found is None:
            raise ForeignRecord(f"an outcome's id is PARTITION-OFFSET, found {outcome.id[:40]!r}")
        place = int(found[1]), int(found[2])
        self.sums.outcomes += 1
        if not users.first_time(*place):
            self.sums.repeated += 1
            return
        key = encode_id(outcome.exposure.user_id)
        user = users.get(key) or UserTotals()
        if outcome.exposure.experiment == self._name:
            if not self._add_shown(outcome, user):
                return
        else:
            _bump(self.sums.others, outcome.exposure.experiment or "")
            if user.arm is not None or not self._add_before(outcome, user):
                return
        users.put(key, user)

    def _add_before(self, outcome: Outcome, user: UserTotals) -> bool:
        if user.shown_before >= self._most:
            return False
        user.shown_before += 1
        user.before = added(user.before, read_outcome(outcome, self._metrics).totals)
        return True

    def _add_shown(self, outcome: Outcome, user: UserTotals) -> bool:
        exposure, sums = outcome.exposure, self.sums
        arm = sums.arms.get(exposure.arm)
        if arm is None:
            if len(sums.arms) >= MOST_ARMS:
                sums.surplus_arms += 1
                return False
            arm = sums.arms[exposure.arm] = self._new_arm()
        self._note(outcome, arm)
        if user.arm is None:
            user.arm, user.first_ms = exposure.arm, outcome.appended
            self._enter(exposure.definition_version, exposure.arm, exposure.probability)
            arm.moments.add(vector(user, self._metrics))
        user.shown += 1
        if user.shown > arm.largest:
            arm.largest, arm.bot = user.shown, repr(exposure.user_id)
        if user.crossed:
            return True
        if user.arm != exposure.arm:
            self._leave(user)
        elif user.shown > self._most:
            sums.surplus_answers += 1
        else:
            self._count(outcome, user, arm)
        return True

    def _count(self, outcome: Outcome, user: UserTotals, arm: ArmTally) -> None:
        reading = read_outcome(outcome, self._metrics)
        self.sums.counted += 1
        self.sums.beyond_horizon += reading.beyond_horizon
        self.sums.strange_values += reading.strange_values
        arm.moments.add(vector(user, self._metrics), -1)
        stretch = age(user, outcome.appended)
        if stretch in user.ages:
            arm.ages[stretch].add(age_vector(user, stretch, self._metrics), -1)
        user.ages[stretch] = added(user.ages.get(stretch, []), reading.totals)
        arm.ages[stretch].add(age_vector(user, stretch, self._metrics))
        arm.moments.add(vector(user, self._metrics))
        _add_version(arm, outcome.exposure.version, reading.totals)
        if outcome.exposure.arm == INTERLEAVED:
            self._count_teams(outcome, user)
        elif outcome.exposure.explored_share is not None:
            self._count_explored(outcome, user, arm)

    def _count_teams(self, outcome: Outcome, user: UserTotals) -> None:
        teams, sums = teams_of(outcome), self.sums
        if teams is None or (sums.teams and teams != sums.teams):
            sums.alone += 1
            return
        sums.teams = teams
        if sums.credit is None:
            sums.credit = Moments.of_size(credit_size(self._metrics))
        self._move_credit(user, -1)
        user.credit = added(user.credit, credit_of(outcome, self._metrics))
        self._move_credit(user, 1)

    def _count_explored(self, outcome: Outcome, user: UserTotals, arm: ArmTally) -> None:
        share = share_of(outcome)
        if share is None or arm.explored_share not in {None, share}:
            self.sums.odd_propensities += 1
            return
        arm.explored_share = share
        if arm.explored is None:
            arm.explored = Moments.of_size(earned_size(self._metrics))
        self._move_explored(user, arm, -1)
        user.explored = added(user.explored, earned(outcome, self._metrics))
        self._move_explored(user, arm, 1)

    def _move_explored(self, user: UserTotals, arm: ArmTally, times: int) -> None:
        if user.explored and arm.explored is not None:
            arm.explored.add(earned_vector(user.explored, self._metrics), times)

    def _move_credit(self, user: UserTotals, times: int) -> None:
        if user.credit and self.sums.credit is not None:
            self.sums.credit.add(credit_vector(user.credit, self._metrics), times)

    def _leave(self, user: UserTotals) -> None:
        """Take a user who was shown two arms out of every sum."""
        user.crossed = True
        self.sums.crossed += 1
        left = self.sums.arms[user.arm or ""]
        left.moments.add(vector(user, self._metrics), -1)
        for stretch in user.ages:
            left.ages[stretch].add(age_vector(user, stretch, self._metrics), -1)
        self._move_credit(user, -1)
        self._move_explored(user, left, -1)

    def _note(self, outcome: Outcome, arm: ArmTally) -> None:
        sums, at = self.sums, outcome.appended
        arm.shown += 1
        sums.first_ms = at if sums.first_ms is None else min(sums.first_ms, at)
        sums.last_ms = at if sums.last_ms is None else max(sums.last_ms, at)
        if outcome.horizon_ms not in sums.horizons_ms and len(sums.horizons_ms) < MOST_ARMS:
            sums.horizons_ms.append(outcome.horizon_ms)
        for each in outcome.feedback:
            _bump(sums.types, each.type)

    def _enter(self, definition: int | None, arm: str, probability: float | None) -> None:
        for entry in self.sums.entries:
            if (entry.definition, entry.arm) == (definition, arm):
                break
        else:
            if len(self.sums.entries) >= MOST_DEFINITIONS:
                return
            entry = Entry(definition, arm, probability)
            self.sums.entries.append(entry)
        entry.users += 1

    def _new_arm(self) -> ArmTally:
        size = 1 + len(self._metrics)
        ages = [Moments.of_size(size) for _ in range(len(AGES_MS) + 1)]
        return ArmTally(Moments.of_size(2 * size), ages)


def _bump(counts: dict[str, int], name: str) -> None:
    """Count a name; strangers' names beyond some number go under one."""
    if name not in counts and len(counts) >= _TYPES:
        name = "…"
    counts[name] = counts.get(name, 0) + 1


def _add_version(arm: ArmTally, version: int, totals: Sequence[int]) -> None:
    """Into the bin of its version; bins get twice as wide whenever there are too many."""
    at = version // arm.version_step
    arm.versions[at] = added(arm.versions.get(at, []), totals)
    while len(arm.versions) > _VERSION_BINS:
        arm.version_step *= 2
        wider: dict[int, list[int]] = {}
        for old, amounts in arm.versions.items():
            wider[old // 2] = added(wider.get(old // 2, []), amounts)
        arm.versions = wider
