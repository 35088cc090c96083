"""The ``Assigner`` for requests that name their arm."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from everfresh.contracts.event import UserId
from everfresh.contracts.experiments.assignment import NO_EXPERIMENT, Assignment, Assignments


class NamedArms:
    """The arm that the request names, if it is one of ``arms``; without one, the default arm."""

    def __init__(self, experiment: str, arms: Collection[str]) -> None:
        self._assignments = {arm: Assignment(experiment, arm) for arm in arms}

    def assign(self, user: UserId, named: str | None) -> Assignment:
        """See the port."""
        if named is None:
            return NO_EXPERIMENT
        return self._assignments.get(named, NO_EXPERIMENT)

    def definitions(self) -> Assignments:
        """See the port; there are none."""
        return Assignments()

    def figures(self) -> dict[str, Any]:
        """See the port."""
        return {}
