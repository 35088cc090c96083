"""Events and requests that go on all the while, and what became of each."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from http import HTTPStatus
from itertools import islice
from queue import SimpleQueue
from typing import Any

import httpx
import msgspec

from benchmarks.cluster.services import DOOR
from everfresh.contracts.event import Event
from everfresh.contracts.kafka.security import Brokers
from everfresh.streaming.producer import EventProducer

_RATE = 300.0
"""Events a second."""

_REQUESTS = 4
_PAUSE_S = 0.1
PROBE_USER = 900_000_000


class Asked(msgspec.Struct, frozen=True):
    """A request: when it was sent and how long it took (seconds), and what was answered. ``source``
    is ``popular`` where nothing was known of the user."""

    at: float
    seconds: float
    status: int
    version: int
    source: str


class Stream(threading.Thread):
    """Sends the events at an even rate, until told to stop; ``sent`` counts them."""

    def __init__(
        self, brokers: Brokers, topic: str, events: Iterable[Event], rate: float = _RATE
    ) -> None:
        super().__init__(name="events", daemon=True)
        self._rate = rate
        self.over = threading.Event()
        self.sent = 0
        self._brokers, self._topic, self._events = brokers, topic, events

    def run(self) -> None:
        """Until ``over``, or the events end."""
        kept = self._brokers
        with EventProducer(kept.servers, self._topic, security=kept.security) as producer:
            began = time.monotonic()
            for event in self._events:
                while self.sent > (time.monotonic() - began) * self._rate:
                    if self.over.wait(0.01):
                        break
                if self.over.is_set():
                    break
                producer.send(event)
                self.sent += 1
            producer.flush()


class Requests:
    """Some clients that ask the load balancer, each again and again."""

    def __init__(self, users: Sequence[int], door: str = DOOR) -> None:
        self.asked: list[Asked] = []
        self._door = door
        self._users = users
        self._over = threading.Event()
        self._threads = [
            threading.Thread(target=self._ask, args=(number,), daemon=True)
            for number in range(_REQUESTS)
        ]

    def start(self) -> None:
        """Begin to ask."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Return once the last answers are there."""
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _ask(self, number: int) -> None:
        with httpx.Client(base_url=self._door, timeout=30, trust_env=False) as client:
            for user in self._of(number):
                began = time.monotonic()
                status, version, source = ask(client, user)
                took = time.monotonic() - began
                self.asked.append(Asked(began, took, status, version, source))
                if self._over.wait(_PAUSE_S):
                    return

    def _of(self, number: int) -> Iterator[int]:
        while True:
            yield from islice(self._users, number, None, _REQUESTS)


def ask(client: httpx.Client, user: int, **more: Any) -> tuple[int, int, str]:
    """Status, version, source; status 0 where nothing was answered."""
    try:
        answer = client.post("/v1/recommend", json={"user_id": user, "k": 10, **more})
    except httpx.HTTPError:
        return 0, 0, ""
    if answer.status_code != HTTPStatus.OK:
        return answer.status_code, 0, ""
    body = answer.json()
    return answer.status_code, body["version"], body["source"]


class Probe(threading.Thread):
    """Sends an event and asks one machine for an answer that knows it; ``took_s`` from the receipt
    of Kafka on. Samples how old the state there says that it is (``ages_ms``)."""

    def __init__(self, brokers: Brokers, topic: str, url: str) -> None:
        super().__init__(name="probe", daemon=True)
        self.over = threading.Event()
        self.took_s: list[float] = []
        self.ages_ms: list[float] = []
        self._brokers, self._topic, self._url = brokers, topic, url
        self._receipts: SimpleQueue[int] = SimpleQueue()

    def run(self) -> None:
        """Until ``over``."""
        kept = self._brokers

        def delivered(_: int, offset: int) -> None:
            self._receipts.put(offset)

        with (
            EventProducer(
                kept.servers,
                self._topic,
                linger_ms=0,
                security=kept.security,
                on_delivered=delivered,
            ) as producer,
            httpx.Client(base_url=self._url, timeout=30, trust_env=False) as client,
        ):
            number = 0
            while not self.over.wait(0.2):
                user, number = PROBE_USER + number % 50, number + 1
                producer.send(user_id=user, item_id=number % 100, type="view")
                offset = self._receipts.get(timeout=60)
                began = time.monotonic()
                status, _, _ = ask(client, user, min_state_offset=offset)
                if status == 200:
                    self.took_s.append(time.monotonic() - began)
                self._look(client)

    def _look(self, client: httpx.Client) -> None:
        try:
            age = client.get("/healthz").json().get("state_age_ms")
        except httpx.HTTPError:
            return
        if age is not None:
            self.ages_ms.append(age)
