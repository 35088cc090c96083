"""A topic of definitions in memory, and readers of it as a follower opens them."""

from __future__ import annotations

import threading

from everfresh.contracts.experiments.assignment import Assignments
from everfresh.contracts.experiments.definition import Definition


class Script:
    """A topic in memory, and readers of it; ``broken`` makes the open ones raise once."""

    def __init__(self) -> None:
        self.records: list[tuple[str, Definition | None]] = []
        self.opened = 0
        self.closed = 0
        self.broken: Exception | None = None
        self.changed = threading.Event()

    def open(self) -> ScriptReader:
        self.opened += 1
        return ScriptReader(self)

    def write(self, name: str, definition: Definition | None) -> None:
        self.records.append((name, definition))
        self.changed.set()


class ScriptReader:
    """Reads what the script has."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self.end = 0
        self.skipped = 0

    def read_to_end(self) -> None:
        if self._script.broken is not None:
            raise self._script.broken
        self.end = len(self._script.records)

    def poll(self, timeout_ms: int) -> bool:
        self._script.changed.wait(0.01)
        self._script.changed.clear()
        before = self.end
        self.read_to_end()
        return self.end > before

    def definitions(self) -> dict[str, tuple[int, Definition]]:
        known = {}
        for version, (name, definition) in enumerate(self._script.records[: self.end]):
            known[name] = (version, definition)
        return {name: (at, each) for name, (at, each) in known.items() if each is not None}

    def assignments(self) -> Assignments:
        return Assignments(list(self.definitions().values()))

    def left_out(self) -> str:
        return f"left out: {self.skipped} records"

    def close(self) -> None:
        self._script.closed += 1
