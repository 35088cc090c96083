"""All contenders on one stream."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.studies.cold_items.arms import run_arm, run_opponents
from benchmarks.studies.cold_items.streams import Stream, known_by
from everfresh.contracts.settings import Settings
from everfresh.model.metrics import Ranks


class Measured(NamedTuple):
    """Of each target after the first window: its group, the number of its user, and its rank by
    contender; and by arm its rank among cold items alone, 0 where it is none."""

    groups: NDArray[np.str_]
    users: NDArray[np.int64]
    ranked: dict[str, Ranks]
    shelf: dict[str, Ranks]


def measure(stream: Stream, settings: Settings, arms: Sequence[str]) -> Measured:
    """Opponents first, then each arm."""
    ranked, shelf = run_opponents(stream), dict[str, Ranks]()
    for arm in arms:
        known = known_by(arm, stream.records)
        ranked[arm], shelf[arm] = run_arm(stream, settings, known)
    return Measured(np.array(stream.groups()), np.array(stream.users()), ranked, shelf)
