"""Who gets which arm: a pure function of the definitions and the user's id."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Mapping

import msgspec

from everfresh.contracts.event import UserId
from everfresh.contracts.experiments.buckets import (
    Range,
    arm_of,
    bucket_after,
    bucket_ranges,
    fnv1a32,
    namespace_bucket,
)
from everfresh.contracts.experiments.definition import DEFAULT, Arm, Definition
from everfresh.contracts.experiments.exploration import Explore
from everfresh.contracts.experiments.first_arm import FirstArm, FirstArms
from everfresh.contracts.experiments.interleaving import INTERLEAVED


class Assignment(msgspec.Struct, frozen=True):
    """The arm of one answer. It is the arm and the track ``default`` without an experiment.

    ``definition_version`` is the offset of the definition that decided; ``None`` where another
    system did. ``probability`` is the share of the experiment's users who get this arm, 0 to 1;
    ``None`` where it is not known.

    ``teams`` are the two arms whose tracks make the answer together, none in any other experiment;
    then ``track`` is that of the first. ``seed`` is the experiment's, by which chance is drawn.
    ``sticky`` says that the user keeps the arm once it was shown. ``explore`` says which places
    show items by chance.
    """

    experiment: str | None = None
    arm: str = DEFAULT
    track: str = DEFAULT
    definition_version: int | None = None
    probability: float | None = None
    teams: tuple[Arm, ...] = ()
    seed: str = ""
    sticky: bool = False
    explore: Explore | None = None


NO_EXPERIMENT = Assignment()


class Place(msgspec.Struct, frozen=True):
    """Where a user stands in one running experiment, for those who ask why.

    ``in_namespace`` is whether the user is in the namespace's range (true where there is none),
    ``bucket`` the user's bucket, and ``assignment`` the arm, ``None`` outside all arms.
    """

    experiment: str
    holdout: bool
    in_namespace: bool
    bucket: float
    assignment: Assignment | None


_Known = Callable[[], Mapping[str, FirstArm] | None]
"""The first arms of the user in question, looked up at most once; ``None`` where they cannot be."""


class _Running:
    """A definition with all made ready that does not depend on the user."""

    __slots__ = ("_arms", "_namespace", "_ranges", "_seed_state", "definition", "version")

    def __init__(self, definition: Definition, version: int) -> None:
        self.definition = definition
        self.version = version
        self._seed_state = fnv1a32(definition.seed)
        self._namespace = definition.namespace
        self._arms: list[Assignment | None]
        if definition.interleaved:
            self._ranges: list[Range] = bucket_ranges(1, definition.coverage)
            name, teams = definition.name, tuple(definition.arms)
            track = teams[0].track
            self._arms = [
                Assignment(name, INTERLEAVED, track, version, 1.0, teams, definition.seed)
            ]
            return
        weights = [arm.weight for arm in definition.arms]
        self._ranges = bucket_ranges(len(weights), definition.coverage, weights)
        # A closed arm keeps its range, so that nobody moves, and takes nobody in.
        open_weight = sum(arm.weight for arm in definition.arms if arm.closed is None)
        self._arms = [
            Assignment(
                definition.name,
                arm.name,
                arm.track,
                version,
                arm.weight / open_weight,
                seed="" if arm.explore is None else definition.seed,
                sticky=definition.sticky,
                explore=arm.explore,
            )
            if arm.closed is None and arm.weight
            else None
            for arm in definition.arms
        ]

    @property
    def looks_up(self) -> bool:
        """Whether the hash alone does not say who is where."""
        return self.definition.sticky and self.definition.moved

    def assign(self, value: str, first: _Known | None = None) -> Assignment | None:
        """By the first arm that the user was shown, or else by the hash; ``first`` is asked only
        where these may differ. Where it is not known who was shown what, nobody is in."""
        if not self.is_in_namespace(value):
            return None
        if self.looks_up and first is not None:
            known = first()
            if known is None:
                return None
            shown = known.get(self.definition.name)
            if shown is not None:
                return self._kept(shown)
        number = arm_of(self.bucket(value), self._ranges)
        return None if number is None else self._arms[number]

    def _kept(self, shown: FirstArm) -> Assignment | None:
        """The arm that was shown first; a closed one, or one that there is not, takes nobody in."""
        for arm, open_arm in zip(self.definition.arms, self._arms, strict=True):
            if arm.name == shown.arm:
                if arm.closed is not None:
                    return None
                # A weight of 0 takes nobody in, and keeps whoever is.
                kept = open_arm or Assignment(self.definition.name, arm.name, arm.track)
                return msgspec.structs.replace(
                    kept,
                    definition_version=shown.definition_version,
                    probability=shown.probability,
                    sticky=True,
                )
        return None

    def is_in_namespace(self, value: str) -> bool:
        namespace = self._namespace
        if namespace is None:
            return True
        return namespace.begin <= namespace_bucket(namespace.name, value) < namespace.end

    def bucket(self, value: str) -> float:
        return bucket_after(self._seed_state, value)


class Assignments:
    """Assigns users by a set of definitions, each with its version. Immutable, so thread-safe.

    One experiment decides per answer: holdouts come before experiments, and of two of a kind the
    one that was started first. So a user whom two definitions claim is in the older one alone.
    The id counts as text: users ``7`` and ``"7"`` get the same arm, as they do in other systems.
    ``first_arms`` is asked only for a sticky experiment whose coverage or weights have changed;
    without it, users are where the hash puts them.
    """

    def __init__(
        self,
        known: Collection[tuple[int, Definition]] = (),
        first_arms: FirstArms | None = None,
    ) -> None:
        self._first_arms = first_arms
        running = sorted(
            (not each.holdout, version if each.since is None else each.since, each.name, version)
            for version, each in known
            if each.stopped is None
        )
        by_name = {each.name: each for _, each in known}
        self._running = [_Running(by_name[name], version) for *_, name, version in running]
        self._looks_up = first_arms is not None and any(each.looks_up for each in self._running)

    def __len__(self) -> int:
        return len(self._running)

    def assign(self, user: UserId) -> Assignment:
        """The user's arm; that of no experiment where none takes the user in."""
        value, first = str(user), self._asked(user)
        for each in self._running:
            assignment = each.assign(value, first)
            if assignment is not None:
                return assignment
        return NO_EXPERIMENT

    def _asked(self, user: UserId) -> _Known | None:
        lookup = self._first_arms
        if not self._looks_up or lookup is None:
            return None
        return functools.cache(lambda: lookup(user))

    def with_first_arms(self, first_arms: FirstArms | None) -> Assignments:
        """The same definitions, with somebody to ask."""
        known = [(each.version, each.definition) for each in self._running]
        return Assignments(known, first_arms)

    def assign_in(self, experiment: str, user: UserId) -> Assignment | None:
        """As :meth:`assign`, but only if ``experiment`` decides; ``None`` where it is not running,
        and that of no experiment where it does not take the user in or another one decides."""
        if all(each.definition.name != experiment for each in self._running):
            return None
        assignment = self.assign(user)
        return assignment if assignment.experiment == experiment else NO_EXPERIMENT

    def names(self) -> list[str]:
        """The running experiments and holdouts, those that decide first before the others."""
        return [each.definition.name for each in self._running]

    def places(self, user: UserId) -> list[Place]:
        """Where the user stands in each of them, in the same order."""
        value, first = str(user), self._asked(user)
        return [
            Place(
                each.definition.name,
                each.definition.holdout,
                each.is_in_namespace(value),
                each.bucket(value),
                each.assign(value, first),
            )
            for each in self._running
        ]
