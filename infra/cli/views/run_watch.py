"""Follows a run on a thread of its own, so that a Kafka that hangs holds up nobody else."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import msgspec

from everfresh.infra.cli.views.follow import RunFollower
from everfresh.infra.cli.views.live_screen import Snapshot

_POLL_MS = 200
_TAKEN_EVERY_S = 1.0
_AGAIN_S = 1.0
_END_S = 1.0
SILENT_S = 15.0
"""From then on what is shown is called old; Kafka is asked every three seconds or so."""
_NOTHING_YET = Snapshot(
    title="",
    phase="",
    elapsed_s=0.0,
    sent=0,
    total=0,
    events_per_s=0.0,
    lag=0,
    windows=(),
    backlog=0,
    dead_letters=0,
    versions={},
    freshness_p50_s=None,
    freshness_p99_s=None,
)


class RunWatch:
    """What a run looks like, at any moment and without waiting; ``close`` ends it.

    ``follow`` makes the follower; it is made, used and closed by this watch's own thread. Whatever
    goes wrong in it is said in the snapshot, and tried again.
    """

    def __init__(self, follow: Callable[[], RunFollower]) -> None:
        self._follow = follow
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._taken, self._live = _NOTHING_YET, 0
        self._heard_s, self._trouble = time.monotonic(), ""
        self._thread = threading.Thread(target=self._run, name="run-watch", daemon=True)
        self._thread.start()

    def snapshot(self, title: str, absent: list[str], elapsed_s: float) -> Snapshot:
        """What was seen last; its phase names what is ``absent``, and says how old it is."""
        with self._lock:
            taken, live = self._taken, self._live
            silent_s, trouble = time.monotonic() - self._heard_s, self._trouble
        if absent:
            phase = f"up without {', '.join(absent)}"
        elif live:
            phase = "up"
        else:
            phase = "up, waiting for the first window to be trained"
        if silent_s > SILENT_S:
            phase += f", nothing has come from Kafka for {silent_s:.0f} s"
            phase += f" ({trouble})" if trouble else ""
        return msgspec.structs.replace(taken, title=title, phase=phase, elapsed_s=elapsed_s)

    def close(self) -> None:
        """End the following, or leave it behind where it hangs. Harmless twice."""
        self._closed.set()
        self._thread.join(_END_S)

    def _run(self) -> None:
        follower = self._follow()
        due_s = 0.0
        while not self._closed.is_set():
            try:
                follower.poll(_POLL_MS)
                if time.monotonic() >= due_s:
                    self._take(follower)
                    due_s = time.monotonic() + _TAKEN_EVERY_S
            except Exception as error:  # a view that fails must not end the loop
                follower.close()
                with self._lock:
                    self._trouble = str(error) or repr(error)
                self._closed.wait(_AGAIN_S)
        follower.close()

    def _take(self, follower: RunFollower) -> None:
        taken = follower.snapshot("", "", 0.0)
        # The reports go on changing; what another thread reads must not.
        taken = msgspec.structs.replace(taken, windows=tuple(taken.windows))
        with self._lock:
            self._taken, self._live = taken, follower.reports.version_everywhere()
            self._heard_s, self._trouble = follower.heard_s, follower.trouble
