"""Asks what became of the events of a replay: the workers' group, the dead letters, the statuses.

1. Before anything is sent, the end of the dead letters is remembered.
2. The workers' group says how far they have applied the log. An event below that is accepted, or
   its dead letter waits in an outbox.
3. Two statuses of every worker that come after that say that nothing waits in an outbox.
4. The dead letters since step 1, read to their end, name what was not accepted.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Generator

from kafka import KafkaAdminClient, KafkaConsumer
from kafka.errors import KafkaError

from everfresh.adapters.kafka.admin import connect_admin
from everfresh.adapters.kafka.consumers import connect_consumer
from everfresh.adapters.kafka.tail import RecordTail
from everfresh.contracts.dead_letter import decode_dead_letter
from everfresh.contracts.errors import Unreachable
from everfresh.contracts.kafka.security import Brokers
from everfresh.contracts.report import ComponentStatus
from everfresh.contracts.topics import DEAD_LETTERS, EVENTS, STATUS, topic_name, worker_group
from everfresh.streaming.replay.places import EventPlaces
from everfresh.streaming.replay.progress import Outcome

_PAUSE_S = 0.2
_STALL_S = 10.0
"""So long nothing may change before it is given up: no worker runs, or it is held up."""
_READ_MS = 200
_MAX_EMPTY_POLLS = 25  # in a row, some 5 s

OnChange = Callable[[Outcome], None]


class WorkerWords:
    """Whether the workers of all ``partitions`` have said that nothing waits in an outbox.

    The first word of each may have been on its way before anybody listened, so the second counts.
    """

    def __init__(self, partitions: int) -> None:
        self._partitions = partitions
        self._words: Counter[str] = Counter()
        self._empty: dict[str, int] = {}

    def hear(self, status: ComponentStatus) -> None:
        """The next status, of whichever component."""
        if status.kind != "worker":
            return
        name, figures = status.component, status.figures
        self._words[name] += 1
        self._empty.pop(name, None)
        if status.state == "running" and self._words[name] > 1 and figures.get("undelivered") == 0:
            owned = figures.get("partitions")
            self._empty[name] = owned if isinstance(owned, int) else 0

    @property
    def nothing_waits(self) -> bool:
        """Whether that is so by the newest word of each."""
        return sum(self._empty.values()) >= self._partitions > 0


class Settling:
    """One per replay, made before its first event is sent. ``Unreachable`` where a topic lacks."""

    def __init__(self, brokers: Brokers, prefix: str) -> None:
        self._brokers = brokers
        self._prefix = prefix
        self._events = topic_name(prefix, EVENTS)
        self._letters: KafkaConsumer = connect_consumer(brokers, [topic_name(prefix, DEAD_LETTERS)])
        self._letters.seek_to_end()
        self._parts = [(part, self._letters.position(part)) for part in self._letters.assignment()]

    def run(self, places: EventPlaces, on_change: OnChange, stopped: Callable[[], bool]) -> Outcome:
        """Return when everything is known, or nothing has changed for some seconds.

        ``places`` are closed. ``on_change`` hears what is known meanwhile; ``stopped`` ends it.
        """
        known, changed, looks = Outcome(), time.monotonic(), self._looks(places)
        try:
            while not (known.settled or stopped() or time.monotonic() - changed > _STALL_S):
                try:
                    now = next(looks)
                except (KafkaError, Unreachable):
                    # A group that is new, a broker that is away: asked again until it is given up.
                    now, looks = known, self._looks(places)
                if now != known:
                    known, changed = now, time.monotonic()
                    on_change(known)
                time.sleep(_PAUSE_S)
        finally:
            looks.close()
            self._letters.close()
        return known

    def _looks(self, places: EventPlaces) -> Generator[Outcome, None, None]:
        """What is known, asked again and again, without end."""
        with connect_admin(self._brokers) as admin:
            taken = 0
            while taken < len(places):
                taken = places.taken(self._applied(admin))
                yield self._look(places, taken)
        with RecordTail(self._brokers, self._prefix, [STATUS], from_end=True) as tail:
            workers = WorkerWords(len(self._letters.partitions_for_topic(self._events) or ()))
            while True:
                for record in tail.poll(_READ_MS):
                    if isinstance(record, ComponentStatus):
                        workers.hear(record)
                # In this order: what was delivered before the statuses is read after them.
                yield self._look(places, taken, settled=workers.nothing_waits)

    def _applied(self, admin: KafkaAdminClient) -> dict[int, int]:
        """By partition, the offset below which the workers have applied everything."""
        group = worker_group(self._prefix)
        offsets = admin.list_group_offsets({group: None})[group]
        return {
            part.partition: at.offset for part, at in offsets.items() if part.topic == self._events
        }

    def _look(self, places: EventPlaces, taken: int, *, settled: bool = False) -> Outcome:
        """Read the dead letters to their end as it is now."""
        ends = self._letters.end_offsets([part for part, _ in self._parts])
        empty_polls = 0
        while any(self._letters.position(part) < end for part, end in ends.items()):
            batches = self._letters.poll(timeout_ms=_READ_MS)
            empty_polls = 0 if batches else empty_polls + 1
            if empty_polls > _MAX_EMPTY_POLLS:
                raise Unreachable("the dead letters could not be read to their end")
            for part, records in batches.items():
                for record in records:
                    place = (part.partition, record.offset)
                    letter = decode_dead_letter(place, record.key, record.value, record.headers)
                    if letter is not None and letter.topic == self._events:
                        places.reject(letter.partition, letter.offset, letter.reason)
        return Outcome(taken, dict(places.reasons), settled)
