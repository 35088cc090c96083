"""The ``Assigner`` for requests that name their arm."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from everfresh.contracts.event import UserId
from everfresh.contracts.experiments.assignment import NO_EXPERIMENT, Assignment, Assignments
from everfresh.contracts.experiments.definition import DEFAULT


def named_assignments(
    experiment: str, arms: Collection[str], tracks: Mapping[str, str]
) -> dict[str, Assignment]:
    """By arm, as another system names it."""
    return {arm: Assignment(experiment, arm, tracks.get(arm, DEFAULT)) for arm in arms}


class NamedArms:
    """The arm that the request names, if it is one of ``arms``; without one, the default arm.

    ``tracks`` says which track answers for an arm, where that is not the default one.
    """

    def __init__(
        self, experiment: str, arms: Collection[str], tracks: Mapping[str, str] | None = None
    ) -> None:
        self._assignments = named_assignments(experiment, arms, tracks or {})

    def assign(self, user: UserId, named: str | None) -> Assignment:
        """See the port."""
        if named is None:
            return NO_EXPERIMENT
        return self._assignments.get(named, NO_EXPERIMENT)

    def asking(self, user: UserId, named: str | None) -> None:
        """See the port; nobody is asked."""

    def definitions(self) -> Assignments:
        """See the port; there are none."""
        return Assignments()

    def figures(self) -> dict[str, Any]:
        """See the port."""
        return {}
