"""Follows a run on a thread of its own, so that a Kafka that hangs holds up nobody else."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

import msgspec

from everfresh.infra.cli.views.follow import RunFollower
from everfresh.infra.cli.views.live_screen import Snapshot

_POLL_MS = 200
_TAKEN_EVERY_S = 1.0
_AGAIN_S = 1.0
_END_S = 1.0
SILENT_S = 15.0
"""From then on what is shown is called old; Kafka is asked every three seconds or so."""


class RunWatch:
    """What a run looks like, at any moment and without waiting. A context manager.

    ``follow`` makes the follower; it is made, used and closed by this watch's own thread. Whatever
    goes wrong in it is said in the snapshot, and tried again.
    """

    def __init__(self, follow: Callable[[], RunFollower]) -> None:
        self._follow = follow
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._taken: Snapshot | None = None
        self._live, self._heard_s, self._trouble = 0, time.monotonic(), ""
        self._thread = threading.Thread(target=self._run, name="run-watch", daemon=True)

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
            phase += f", Kafka has said nothing for {silent_s:.0f} s"
            phase += f" ({trouble})" if trouble else ""
        if taken is None:
            return Snapshot(title, phase, elapsed_s, 0, 0, 0.0, 0, (), 0, 0, {}, None, None)
        return msgspec.structs.replace(taken, title=title, phase=phase, elapsed_s=elapsed_s)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
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
