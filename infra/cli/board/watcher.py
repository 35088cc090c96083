"""Follows a run while somebody looks at its page, and only then."""

from __future__ import annotations

import contextlib
import threading
import time

import msgspec

from everfresh.adapters.kafka.tail import RecordTail
from everfresh.adapters.kafka.topics import end_offsets
from everfresh.adapters.weights.store import FsspecWeightStore
from everfresh.contracts.errors import EverfreshError
from everfresh.contracts.report import ComponentStatus, WindowReport
from everfresh.contracts.settings import Settings
from everfresh.contracts.topics import DEAD_LETTERS, topic_name
from everfresh.infra.cli.board.picture import picture
from everfresh.infra.cli.board.seen import WINDOWS, Seen

_POLL_MS = 300
_LOOK_S = 2.0
_AGAIN_S = 2.0
IDLE_S = 30.0
"""After the last question it stops following; the next one begins anew."""
_FIRST_S, _CAUGHT_UP_S = 6.0, 2.0
"""A question waits so long at most for the first records; and they have come after so long."""


_END_S = 1.0


class Watcher:
    """``ask`` may be called by any thread; ``close`` ends the following."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._first = threading.Event()
        self._thread: threading.Thread | None = None
        self._asked = 0.0
        self._seen = Seen()

    def ask(self) -> bytes:
        """The picture as of now, as JSON."""
        with self._lock:
            self._asked = time.monotonic()
            alive = self._thread is not None and self._thread.is_alive()
            if not alive and not self._closed.is_set():
                self._seen = Seen()
                self._first.clear()
                self._thread = threading.Thread(target=self._follow, name="board", daemon=True)
                self._thread.start()
        self._first.wait(_FIRST_S)
        with self._lock:
            return msgspec.json.encode(picture(self._seen, time.time_ns() // 1_000_000))

    def close(self) -> None:
        """End the following. Harmless twice."""
        self._closed.set()
        thread = self._thread
        if thread is not None:
            thread.join(_END_S)

    def _follow(self) -> None:
        while self._wanted():
            try:
                self._read()
            except Exception as error:  # whatever it is, the page says it and looks again
                with self._lock:
                    known = isinstance(error, EverfreshError)
                    self._seen.error = str(error) if known else repr(error)
                self._first.set()
                self._closed.wait(_AGAIN_S)

    def _wanted(self) -> bool:
        """Whether somebody has asked lately; else the thread ends, and the next question knows."""
        with self._lock:
            if time.monotonic() - self._asked < IDLE_S and not self._closed.is_set():
                return True
            self._thread = None
            return False

    def _read(self) -> None:
        kafka = self._settings.kafka
        due, began = 0.0, time.monotonic()
        with RecordTail(kafka.brokers, kafka.topic_prefix, last=WINDOWS) as tail:
            while time.monotonic() - self._asked < IDLE_S and not self._closed.is_set():
                records = tail.poll(_POLL_MS)
                with self._lock:
                    self._seen.error = ""
                    for record in records:
                        if isinstance(record, WindowReport):
                            self._seen.window(record)
                        elif isinstance(record, ComponentStatus):
                            self._seen.status(record)
                if time.monotonic() >= due:
                    self._look()
                    due = time.monotonic() + _LOOK_S
                if not records or time.monotonic() - began > _CAUGHT_UP_S:
                    self._first.set()

    def _look(self) -> None:
        """What no topic tells. Where one of both cannot be asked, the rest is shown."""
        kafka = self._settings.kafka
        with contextlib.suppress(EverfreshError):
            ends = end_offsets(kafka.brokers, topic_name(kafka.topic_prefix, DEAD_LETTERS))
            with self._lock:
                self._seen.dead_letters = sum(ends.values())
        with contextlib.suppress(EverfreshError):
            pointer = FsspecWeightStore.of(self._settings).pointer()
            with self._lock:
                self._seen.pointer = pointer
