"""How long a new event takes to be in the history that an answer is made from."""

from __future__ import annotations

import threading
import time

import httpx

from everfresh.streaming.producer import EventProducer

PROBE = "freshness-probe"
"""The probe's user."""
_PAUSE_S = 0.25
_TIMEOUT_S = 60.0


class Probe(threading.Thread):
    """Sends one event of a user of its own now and then, and asks until an answer knows it."""

    def __init__(self, url: str, servers: str, topic: str) -> None:
        super().__init__(daemon=True)
        self._url, self._servers, self._topic = url, servers, topic
        self.done = threading.Event()
        self.took_ms: list[float] = []

    def run(self) -> None:
        """Until ``done``."""
        events = EventProducer(self._servers, topic=self._topic)
        with events, httpx.Client(timeout=_TIMEOUT_S) as client:
            known = -1
            while not self.done.wait(_PAUSE_S):
                events.send(user_id=PROBE, item_id=1 + len(self.took_ms), type="view")
                began = time.monotonic()
                while not self.done.is_set():
                    body = {"user_id": PROBE, "k": 5}
                    answer = client.post(f"{self._url}/v1/recommend", json=body).json()
                    offset = answer.get("state_offset")
                    if offset is not None and offset > known:
                        known = offset
                        self.took_ms.append(1000 * (time.monotonic() - began))
                        break
