"""The ports of experiments in memory, as ``adapters.memory`` has the others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from everfresh.contracts.event import UserId
from everfresh.contracts.experiments.assignment import Assignment, Assignments
from everfresh.contracts.experiments.definition import Definition


class MemoryAssigner:
    """``Assigner`` by ``assignments``, which may be replaced at any time."""

    def __init__(self) -> None:
        self.assignments = Assignments()

    def assign(self, user: UserId, named: str | None) -> Assignment:
        """See the port."""
        return self.assignments.assign(user)

    def asking(self, user: UserId, named: str | None) -> None:
        """See the port; nobody is asked."""

    def definitions(self) -> Assignments:
        """See the port."""
        return self.assignments

    def figures(self) -> dict[str, Any]:
        """See the port."""
        return {"experiments": len(self.assignments), "experiments_closed": 0}


class MemoryDefinitionLog:
    """``DefinitionLog`` in a list; ``on_write`` runs before each record is appended."""

    def __init__(self) -> None:
        self.records: list[tuple[str, Definition | None]] = []
        self.on_write: Callable[[], None] = lambda: None

    def read(self) -> tuple[int, dict[str, tuple[int, Definition]]]:
        """See the port."""
        return len(self.records), self._known(len(self.records))

    def before(self, name: str, version: int) -> Definition | None:
        """See the port."""
        return self._known(version).get(name, (0, None))[1]

    def write(self, name: str, definition: Definition | None) -> int:
        """See the port."""
        self.on_write()
        self.records.append((name, definition))
        return len(self.records) - 1

    def _known(self, end: int) -> dict[str, tuple[int, Definition]]:
        known: dict[str, tuple[int, Definition]] = {}
        for version, (name, definition) in enumerate(self.records[:end]):
            known.pop(name, None)
            if definition is not None:
                known[name] = version, definition
        return known
