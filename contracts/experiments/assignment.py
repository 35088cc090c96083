"""Who gets which arm: a pure function of the definitions and the user's id."""

from __future__ import annotations

from collections.abc import Collection

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
from everfresh.contracts.experiments.definition import DEFAULT, Definition


class Assignment(msgspec.Struct, frozen=True):
    """The arm of one answer. It is the arm and the track ``default`` without an experiment.

    ``definition_version`` is the offset of the definition that decided; ``None`` where another
    system did. ``probability`` is the share of the experiment's users who get this arm, 0 to 1;
    ``None`` where it is not known.
    """

    experiment: str | None = None
    arm: str = DEFAULT
    track: str = DEFAULT
    definition_version: int | None = None
    probability: float | None = None


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


class _Running:
    """A definition with all made ready that does not depend on the user."""

    __slots__ = ("_arms", "_namespace", "_ranges", "_seed_state", "definition")

    def __init__(self, definition: Definition, version: int) -> None:
        self.definition = definition
        self._seed_state = fnv1a32(definition.seed)
        self._namespace = definition.namespace
        weights = [arm.weight for arm in definition.arms]
        self._ranges: list[Range] = bucket_ranges(len(weights), definition.coverage, weights)
        # A closed arm keeps its range, so that nobody moves, and takes nobody in.
        open_weight = sum(arm.weight for arm in definition.arms if arm.closed is None)
        self._arms = [
            Assignment(definition.name, arm.name, arm.track, version, arm.weight / open_weight)
            if arm.closed is None and arm.weight
            else None
            for arm in definition.arms
        ]

    def assign(self, value: str) -> Assignment | None:
        if not self.is_in_namespace(value):
            return None
        number = arm_of(self.bucket(value), self._ranges)
        return None if number is None else self._arms[number]

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
    """

    def __init__(self, known: Collection[tuple[int, Definition]] = ()) -> None:
        running = sorted(
            (not each.holdout, version if each.since is None else each.since, each.name, version)
            for version, each in known
            if each.stopped is None
        )
        by_name = {each.name: each for _, each in known}
        self._running = [_Running(by_name[name], version) for *_, name, version in running]

    def __len__(self) -> int:
        return len(self._running)

    def assign(self, user: UserId) -> Assignment:
        """The user's arm; that of no experiment where none takes the user in."""
        value = str(user)
        for each in self._running:
            assignment = each.assign(value)
            if assignment is not None:
                return assignment
        return NO_EXPERIMENT

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
        value = str(user)
        return [
            Place(
                each.definition.name,
                each.definition.holdout,
                each.is_in_namespace(value),
                each.bucket(value),
                each.assign(value),
            )
            for each in self._running
        ]
