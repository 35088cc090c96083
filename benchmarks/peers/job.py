"""The job itself, the same for every peer: keep a user's last 200 events as compact bytes."""

from __future__ import annotations

import json
import struct
import threading
import time

LENGTH = 200
PROBE_USERS = (10**9, 10**9 + 1, 10**9 + 2, 10**9 + 3)
"""Users whose events are probes: their time is the moment they were made."""
ENTRY = struct.Struct("<qqB")


class Progress:
    """Counts events and prints the count from a thread, so that printing costs no event.

    With it go the ages in ms at which probes were applied since the last print.
    """

    def __init__(self) -> None:
        self.events = 0
        self._ages: list[float] = []
        threading.Thread(target=self._print_on, daemon=True).start()

    def note(self, user: int, made_ms: int) -> None:
        """One event has changed the state."""
        self.events += 1
        if user >= PROBE_USERS[0]:
            self._ages.append(time.time() * 1000 - made_ms)

    def _print_on(self) -> None:
        while True:
            ages, self._ages = self._ages, []
            print(json.dumps({"events": self.events, "ages_ms": ages}), flush=True)
            time.sleep(0.25)


def append(old: bytes | None, item: int, at: int, action: int) -> bytes:
    """The last 200 entries with one more."""
    return (old or b"")[-(LENGTH - 1) * ENTRY.size :] + ENTRY.pack(item, at, action)
