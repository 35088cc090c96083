"""The job itself, the same for every peer: keep a user's last 200 events as compact bytes."""

from __future__ import annotations

import json
import struct
import threading
import time

LENGTH = 200
ENTRY = struct.Struct("<qqB")


class Progress:
    """Counts events and prints the count from a thread, so that printing costs no event."""

    def __init__(self) -> None:
        self.events = 0
        threading.Thread(target=self._tell, daemon=True).start()

    def _tell(self) -> None:
        while True:
            print(json.dumps({"events": self.events}), flush=True)
            time.sleep(0.25)


def append(old: bytes | None, item: int, at: int, action: int) -> bytes:
    """The last 200 entries with one more."""
    return (old or b"")[-(LENGTH - 1) * ENTRY.size :] + ENTRY.pack(item, at, action)
