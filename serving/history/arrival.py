"""Whether the state that a follower brings to this machine is here, so that a replica may join."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from everfresh.contracts.ports import StateWatch
from everfresh.contracts.settings import Settings

_LOG = logging.getLogger(__name__)
_FRESH_S = 10.0
"""How long a replica waits for a state that is here to be fresh. While the log cannot be read it
never is, and a replica that answers from an older state is better than none."""


class StateArrival:
    """Asked again and again while a replica starts, by one thread."""

    def __init__(
        self,
        state: StateWatch,
        settings: Settings,
        ticks: Callable[[], float] = time.monotonic,
    ) -> None:
        self._state = state
        self._stale_after_ms = settings.serving.stale_after_s * 1000
        self._ticks = ticks
        self._complete_since: float | None = None
        self._said: object = ()

    def is_over(self) -> bool:
        """Whether every partition that is to be followed is here, and fresh if that comes soon."""
        missing = self._state.missing()
        if missing is None or missing:
            self._say(missing)
            self._complete_since = None
            return False
        if self._complete_since is None:
            self._complete_since = self._ticks()
        age_ms = self._state.age_ms()
        if age_ms is not None and age_ms <= self._stale_after_ms:
            return True
        if self._ticks() - self._complete_since < _FRESH_S:
            return False
        _LOG.warning("the state here is stale (age in ms: %s); its follower tells why", age_ms)
        return True

    def _say(self, missing: list[int] | None) -> None:
        if missing != self._said:
            self._said = missing
            what = "any partition" if missing is None else f"the partitions {missing}"
            _LOG.info("waits for a follower to bring the state of %s to this machine", what)
