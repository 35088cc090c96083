"""Events and requests that go on all the while, and what became of each."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from http import HTTPStatus
from itertools import count, islice
from queue import SimpleQueue
from typing import Any

import httpx
import msgspec

from benchmarks.cluster.services import DOOR
from everfresh.contracts.event import Event
from everfresh.contracts.kafka.security import Brokers
from everfresh.streaming.producer import EventProducer

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

    @property
    def failed(self) -> bool:
        """Whether it had no answer."""
        return self.status != HTTPStatus.OK


class Seen(msgspec.Struct, frozen=True):
    """A request that wants a certain event: when it was sent, how long it took from Kafka's receipt
    of the event on (seconds), and its status."""

    at: float
    seconds: float
    status: int


class _Load(threading.Thread):
    """Work that goes on until it is stopped; :meth:`stop` raises what ended it before."""

    def __init__(self, name: str) -> None:
        super().__init__(name=name, daemon=True)
        self.over = threading.Event()
        self._failed: BaseException | None = None

    def run(self) -> None:
        """Called by the thread."""
        try:
            self._work()
        except BaseException as error:
            self._failed = error

    def stop(self) -> None:
        """Return once it has ended."""
        self.over.set()
        self.join()
        if self._failed is not None:
            raise self._failed

    def _work(self) -> None:
        raise NotImplementedError


class Stream(_Load):
    """Sends the events at an even rate, again and again; ``sent`` counts them."""

    def __init__(self, brokers: Brokers, topic: str, events: Sequence[Event], rate: float) -> None:
        super().__init__("events")
        self.sent = 0
        self._brokers, self._topic, self._events = brokers, topic, events
        self._rate = rate

    def _work(self) -> None:
        kept = self._brokers
        with EventProducer(kept.servers, self._topic, security=kept.security) as producer:
            began = time.monotonic()
            for event in self._without_end():
                while self.sent > (time.monotonic() - began) * self._rate:
                    if self.over.wait(0.01):
                        break
                if self.over.is_set():
                    return
                producer.send(event)
                self.sent += 1

    def _without_end(self) -> Iterator[Event]:
        for again in count():
            for event in self._events:
                yield msgspec.structs.replace(event, id=f"{event.id}.{again}")


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

    def so_far(self) -> str:
        """How many there were, and what came of them."""
        asked = list(self.asked)
        failed = [one.status for one in asked if one.failed]
        unknown = sum(one.source == "popular" for one in asked)
        return f"{len(asked)} requests, failed {failed or 'none'}, as to an unknown user {unknown}"

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


class Probe(_Load):
    """Sends an event and asks one machine for an answer that knows it (``seen``). Samples how old
    the state there says that it is (``ages_ms``)."""

    def __init__(self, brokers: Brokers, topic: str, url: str) -> None:
        super().__init__("probe")
        self.seen: list[Seen] = []
        self.ages_ms: list[float] = []
        self._brokers, self._topic, self._url = brokers, topic, url
        self._receipts: SimpleQueue[int] = SimpleQueue()

    def _work(self) -> None:
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
                self.seen.append(Seen(began, time.monotonic() - began, status))
                self._look(client)

    def _look(self, client: httpx.Client) -> None:
        try:
            age = client.get("/healthz").json().get("state_age_ms")
        except (httpx.HTTPError, ValueError):
            return
        if age is not None:
            self.ages_ms.append(age)
