"""An event file through the public producer: ``python -m everfresh.streaming.replay FILE``.

Progress goes to standard output, a JSON object per line (``streaming.replay.progress``). SIGTERM
and Ctrl-C end it cleanly: what was sent is flushed, and the exit code is 0 without a ``done``.
"""

from __future__ import annotations

import argparse
import itertools
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Protocol

from kafka.errors import KafkaError

from everfresh.adapters.files.datasets import DATASETS, event_check
from everfresh.adapters.observe.logs import run_main
from everfresh.contracts.errors import DataFileError, SettingsError, Unreachable
from everfresh.contracts.event import Event, UserId
from everfresh.contracts.settings import Settings, load_settings
from everfresh.contracts.topics import EVENTS, topic_name
from everfresh.streaming.producer import EventProducer
from everfresh.streaming.replay.places import EventPlaces
from everfresh.streaming.replay.progress import Outcome, ReplayProgress, encode_progress
from everfresh.streaming.replay.settling import Settling

_WRITE_EVERY_S = 0.25
_STEP_S = 0.02


def main() -> None:
    """Send the file's events, in its order; ``EverfreshError`` where that cannot be done."""
    parser = argparse.ArgumentParser(
        prog="python -m everfresh.streaming.replay", description=__doc__
    )
    parser.add_argument("file", type=Path)
    parser.add_argument("--format", required=True, choices=sorted(DATASETS))
    parser.add_argument("--speed", type=float, default=0.0, help="events per second; 0: no limit")
    parser.add_argument("--limit", type=int, default=0, help="only the first N events; 0: all")
    parser.add_argument("--settle", action="store_true", help="ask what became of the events")
    wanted = parser.parse_args()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    settings = load_settings()
    events = DATASETS[wanted.format](wanted.file, event_check(settings.events))
    total = min(len(events), wanted.limit or len(events))
    progress = ProgressWriter(total, time.monotonic())
    places = EventPlaces()
    settling = _settling(settings) if wanted.settle else None
    # Places are kept for settling alone, at eight bytes each.
    on_delivered = None if settling is None else places.note
    with _producer(settings, on_delivered) as producer:
        send(paced(itertools.islice(events, total), wanted.speed, stop), producer, progress)
        if not (progress.done or stop.is_set()):
            raise DataFileError(f"{wanted.file} became shorter while it was read; send it again")
    if settling is not None and progress.done:
        places.close()
        progress.outcome = settling.run(places, progress.became, stop.is_set)
        progress.write()


def send(events: Iterable[Event], producer: EventSender, progress: ProgressWriter) -> None:
    """Send all; whatever ends it, the progress that is written last says how many were sent."""
    progress.write()
    try:
        for event in events:
            producer.send(event)
            progress.sent(event.user_id)
        producer.flush()
        progress.flushed()
    finally:
        progress.write()


def paced(events: Iterable[Event], speed: float, stop: threading.Event) -> Iterator[Event]:
    """The events at ``speed`` per second, without a limit for 0, until ``stop`` is set.

    The pace holds over the whole file: what a slow moment held up follows at once.
    """
    began = time.monotonic()
    for number, event in enumerate(events):
        if speed:
            early = began + number / speed - time.monotonic()
            # Sleeps of a few ms at least: one for each event would cost more than the events do.
            if early > _STEP_S:
                stop.wait(early)
        if stop.is_set():
            return
        yield event


class EventSender(Protocol):
    """The producer, as far as a replay needs it."""

    def send(self, event: Event) -> object:
        """Queue one event."""

    def flush(self) -> None:
        """Return once everything queued is in the log."""


class ProgressWriter:
    """Writes progress to standard output, several times a second."""

    def __init__(self, total: int, now_s: float) -> None:
        self.done = False
        self.outcome: Outcome | None = None
        self._count = 0
        self._took: float | None = None
        self._total = total
        self._user: UserId | None = None
        self._began = self._written = now_s

    def sent(self, user: UserId) -> None:
        """One more event was handed over."""
        self._count += 1
        self._user = user
        if self._count % 16 == 0 and time.monotonic() - self._written >= _WRITE_EVERY_S:
            self.write()

    def flushed(self) -> None:
        """All that was handed over is in the log."""
        self.done = self._count == self._total
        self._took = time.monotonic() - self._began

    def became(self, outcome: Outcome) -> None:
        """So much is known of what became of the events."""
        self.outcome = outcome
        self.write()

    def write(self) -> None:
        """Write a line now."""
        self._written = time.monotonic()
        took = self._written - self._began if self._took is None else self._took
        line = ReplayProgress(self._count, self._total, took, self._user, self.done, self.outcome)
        sys.stdout.buffer.write(encode_progress(line))
        sys.stdout.buffer.flush()


def _settling(settings: Settings) -> Settling | None:
    """``None`` where there is nothing to ask: the producer then says what is wrong, if anything."""
    try:
        return Settling(settings.kafka.brokers, settings.kafka.topic_prefix)
    except (Unreachable, KafkaError):
        return None


def _producer(settings: Settings, on_delivered: Callable[[int, int], None] | None) -> EventProducer:
    kafka = settings.kafka
    if not kafka.bootstrap_servers:
        raise SettingsError(
            "kafka.bootstrap_servers is empty; set EVERFRESH_KAFKA__BOOTSTRAP_SERVERS to the "
            "brokers' host:port, or use `everfresh replay`"
        )
    return EventProducer(
        kafka.bootstrap_servers,
        topic_name(kafka.topic_prefix, EVENTS),
        actions=settings.events.actions,
        max_bytes=settings.events.max_bytes,
        on_delivered=on_delivered,
        security=kafka.security.of_client,
    )


if __name__ == "__main__":
    run_main(main)
