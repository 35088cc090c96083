"""What a crash storm counts and finds wrong."""

from __future__ import annotations

from collections import Counter

import msgspec


class Findings(msgspec.Struct):
    """What was counted and what was found wrong, summed over rounds."""

    rounds: int = 0
    lost: int = 0
    duplicated: int = 0
    states_wrong: int = 0
    windows_wrong: int = 0
    letters_wrong: int = 0
    versions_differ: int = 0
    late: int = 0
    stuck: int = 0
    events: int = 0
    rejected: int = 0
    slices: int = 0
    repeated: int = 0
    users: int = 0
    versions_compared: int = 0
    faults: Counter[str] = msgspec.field(default_factory=Counter)
    exits: Counter[str] = msgspec.field(default_factory=Counter)
    messages: list[str] = []

    def add(self, other: Findings) -> None:
        """Add what another lane has counted."""
        for name in self.__struct_fields__:
            setattr(self, name, getattr(self, name) + getattr(other, name))

    @property
    def clean(self) -> bool:
        """Whether nothing is wrong."""
        return not (
            self.lost
            or self.duplicated
            or self.states_wrong
            or self.windows_wrong
            or self.letters_wrong
            or self.versions_differ
            or self.stuck
        )
