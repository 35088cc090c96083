"""Whether users' state is on this machine, so that a replica may join."""

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
        self._follows = settings.follower.enabled
        self._stale_after_ms = settings.serving.stale_after_s * 1000
        self._restore_wait_s = settings.serving.restore_wait_s
        self._ticks = ticks
        self._began = ticks()
        self._complete_since: float | None = None
        self._said: object = ()

    def is_over(self) -> bool:
        """Whether nothing is to be waited for any more, on a machine that follows or beside a
        stream worker."""
        return self._is_followed() if self._follows else self._is_restored()

    def _is_followed(self) -> bool:
        """Whether every partition that is to be followed is here, and fresh if that comes soon."""
        missing = self._state.missing()
        if missing is None or missing:
            self._say("a follower to bring", missing)
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

    def _is_restored(self) -> bool:
        """Whether every partition has held all of its log once, or that takes too long: this may
        be the only machine, or another worker may own some of them elsewhere."""
        missing = self._state.missing()
        if missing == [] and self._state.age_ms() is not None:
            return True
        if self._ticks() - self._began < self._restore_wait_s:
            self._say("the stream worker to restore", missing)
            return False
        if self._restore_wait_s:
            _LOG.warning(
                "joins after %g s without all of users' state (partitions missing: %s): until the "
                "stream worker has restored it, users may be answered as if nothing were known of "
                "them; its log tells how far it is",
                self._restore_wait_s,
                "all" if missing is None else missing or "none, but not up to date",
            )
        return True

    def _say(self, who: str, missing: list[int] | None) -> None:
        if missing != self._said:
            self._said = missing
            what = "any partition" if missing is None else f"the partitions {missing}"
            if missing == []:
                what = "all partitions up to the log's end"
            _LOG.info("waits for %s the state of %s on this machine", who, what)
