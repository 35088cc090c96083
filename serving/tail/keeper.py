"""The thread that reads recent events and renews the trends of the versions that answer."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from everfresh.adapters.machine.give_way import give_way
from everfresh.contracts.ports import Clock, RecentEvents
from everfresh.serving.tail.kept_up import KeptUp
from everfresh.serving.tail.recent_log import RecentLog

_LOG = logging.getLogger(__name__)
_REST_S = 0.1
"""Between two looks at least: what came within it is counted together."""
_SHARE = 20
"""A rest is so many times as long as the look before it: a twentieth of a core at most."""


class Answering(Protocol):
    """A version that answers; see ``serving.versions.holder``. Nobody writes over its tables while
    it is held."""

    @property
    def trending(self) -> KeptUp | None:
        """Its trends as they are kept up, if they are."""


Live = Callable[[], Sequence[Answering]]
"""The versions that answer now, one of each track, the default one's first."""


class TailKeeper:
    """``prepare`` may be called from any thread, the rest by one owner. Without ``events``, or
    where the state cannot be read, versions answer by their own trends."""

    def __init__(self, events: RecentEvents | None, live: Live, clock: Clock) -> None:
        self._events = events
        self._live = live
        self._clock = clock
        self._log = RecentLog()
        self._lock = threading.Lock()
        self._read_ms: int | None = None
        self._reason = ""
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="tail", daemon=True)

    def start(self) -> None:
        """Read what is there once, here, then go on in the background."""
        if self._events is not None:
            self.look()
            self._thread.start()

    def stop(self) -> None:
        """End the thread. Harmless twice; versions keep the trends they have."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join()

    def prepare(self, loaded: Answering) -> None:
        """Bring a version up to now before it answers."""
        if self._events is not None and loaded.trending is not None:
            with self._lock:
                loaded.trending.renew(self._log)

    def look(self) -> None:
        """Read what has come and renew each version's trends once. Raises nothing."""
        # One partition that cannot be read keeps what others bring from no answer.
        reasons = [_failed(step) for step in (self._read, self._prepare_live)]
        reason = next(filter(None, reasons), "")
        if reason and reason != self._reason:
            _LOG.warning("trends are not kept up: %s", reason)
        self._reason = reason

    def _read(self) -> None:
        assert self._events is not None, "without events nobody looks"
        with self._lock:
            for run in self._events.poll():
                self._log.put(run)
            self._read_ms = self._clock()

    def _prepare_live(self) -> None:
        for loaded in self._live():
            self.prepare(loaded)

    def figures(self) -> dict[str, Any]:
        """What there is to report of it: how long ago the state was read for it, how many events
        the default track's trends count beside its version, and how many they lack."""
        live = self._live()
        kept_up = live[0].trending if live else None
        now = None if kept_up is None else kept_up.now
        return {
            "tail_age_ms": None if self._read_ms is None else self._clock() - self._read_ms,
            "tail_events": None if now is None else now.events,
            "tail_missing": None if now is None else now.missing,
            "tail_reason": self._reason,
        }

    def _run(self) -> None:
        give_way()
        took_s = 0.0
        while not self._stopping.wait(max(_REST_S, _SHARE * took_s)):
            began = time.monotonic()
            self.look()
            took_s = time.monotonic() - began


def _failed(step: Callable[[], None]) -> str:
    """Why it did; empty where it did not. The disk and what is on it fail in many ways, and answers
    go on without a newer tail."""
    try:
        step()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""
