"""How many replicas there may be: one number, or a range that the load decides within. Pure."""

from __future__ import annotations

import re
from typing import NamedTuple

_RANGE = re.compile(r"\s*(\d{1,6})\s*(?:\.\.\s*(\d{1,6})\s*)?")


class ReplicaRange(NamedTuple):
    """At least one, and ``least <= most``."""

    least: int
    most: int

    @property
    def setting(self) -> int | str:
        """As the setting writes it: ``2``, or ``2..6``."""
        return f"{self.least}..{self.most}" if self.follows_load else self.least

    @property
    def follows_load(self) -> bool:
        """Whether replicas come and go."""
        return self.least < self.most


def replica_range(text: int | str) -> ReplicaRange:
    """Read the setting. ``ValueError`` with what was expected."""
    found = _RANGE.fullmatch(str(text))
    if found is not None:
        least, most = int(found[1]), int(found[2] or found[1])
        if 1 <= least <= most:
            return ReplicaRange(least, most)
    raise ValueError(
        "a number of replicas from 1 on was expected, or a range such as 2..6 whose first number "
        f"is not the greater, found {str(text)!r}"
    )
