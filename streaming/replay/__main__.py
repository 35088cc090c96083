"""An event file through the public producer: ``python -m everfresh.streaming.replay FILE``.

Progress goes to standard output, a JSON object per line (``streaming.replay.progress``). SIGTERM
and Ctrl-C end it cleanly: what was sent is flushed, and the exit code is 0 without a ``done``. With
``--window`` it is a backfill, which goes through ``streaming.replay.bulk_producer`` instead.
"""

from __future__ import annotations

import argparse
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from kafka.errors import KafkaError

from everfresh.adapters.files.checks import event_check
from everfresh.adapters.files.opening import open_events, told_format
from everfresh.adapters.files.tables.mapping import Reading, decode_reading, encode_reading
from everfresh.adapters.observe.logs import run_main
from everfresh.contracts.errors import (
    DataFileError,
    MissingDependency,
    SettingsError,
    Unreachable,
)
from everfresh.contracts.event import Event, UserId
from everfresh.contracts.settings import Settings, load_settings
from everfresh.contracts.topics import EVENTS, topic_name
from everfresh.streaming.producer import EventProducer
from everfresh.streaming.replay.marks import ReplayMark, log_name
from everfresh.streaming.replay.places import EventPlaces
from everfresh.streaming.replay.progress import Outcome, ReplayProgress, encode_progress
from everfresh.streaming.replay.settling import Settling
from everfresh.streaming.replay.sizes import Needed, needed
from everfresh.streaming.replay.spans import LogSpan

_WRITE_EVERY_S = 0.25
_STEP_S = 0.02


def main() -> None:
    """Send the file's events, in its order; ``EverfreshError`` where that cannot be done."""
    parser = argparse.ArgumentParser(
        prog="python -m everfresh.streaming.replay", description=__doc__
    )
    parser.add_argument("file", type=Path)
    parser.add_argument("--reading", default=encode_reading(Reading()), help="how to read it")
    parser.add_argument("--speed", type=float, default=0.0, help="events per second; 0: no limit")
    parser.add_argument("--limit", type=int, default=0, help="only the first N events; 0: all")
    parser.add_argument("--settle", action="store_true", help="ask what became of the events")
    parser.add_argument("--again", action="store_true", help="also what was sent before")
    parser.add_argument("--window", type=int, default=0, help="a backfill, in such windows")
    wanted = parser.parse_args()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    settings = load_settings()
    progress = ProgressWriter(time.monotonic(), stop)
    reading = decode_reading(wanted.reading)
    # A table may take minutes to read: a broker that is away is said before.
    log = "" if told_format(wanted.file, reading) else _log(settings)
    opened = open_events(wanted.file, reading, event_check(settings.events), progress.read)
    total = min(len(opened.events), wanted.limit or len(opened.events))
    log = log or _log(settings)
    mark = ReplayMark(settings.home.resolve() / "replays", wanted.file, log)
    if wanted.again:
        mark.forget()
    before, events = mark.unsent(opened.events, total)
    progress.begin(total - before, before, opened.counts.rejects.count)
    if wanted.window and total > before:
        length = settings.state.history_length
        progress.needs(needed(opened.events, total, wanted.window, length))
    places = EventPlaces()
    settling = _settling(settings) if wanted.settle and total > before else None

    def delivered(partition: int, offset: int) -> None:
        mark.span.note(partition, offset)
        if settling is not None:  # places are kept for settling alone, at eight bytes each
            places.note(partition, offset)

    with _producer(settings, delivered, bulk=bool(wanted.window)) as producer:
        send(paced(events, wanted.speed, stop), producer, progress, mark)
        if not (progress.done or stop.is_set()):
            raise DataFileError(f"{wanted.file} became shorter while it was read; send it again")
    if settling is not None and progress.done:
        places.close()
        progress.outcome = settling.run(places, progress.became, stop.is_set)
        progress.write()


def send(
    events: Iterable[Event], producer: EventSender, progress: ProgressWriter, mark: ReplayMark
) -> None:
    """Send all; whatever ends it, the progress that is written last says how many were sent."""
    progress.write()
    try:
        for event in events:
            producer.send(event)
            progress.sent(event.user_id)
            if mark.note(event):
                producer.flush()
                mark.write()
        producer.flush()
        mark.write()
        progress.flushed(mark.span)
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

    def __init__(self, now_s: float, stop: threading.Event) -> None:
        self.done = False
        self.outcome: Outcome | None = None
        self._stop = stop
        self._rows = self._rejected = self._before = self._total = self._count = 0
        self._took: float | None = None
        self._user: UserId | None = None
        self._needed: Needed | None = None
        self._span = LogSpan()
        self._began = self._written = now_s

    def read(self, rows: int) -> None:
        """So many rows of the file have been read; ``SystemExit`` where the replay is to stop."""
        self._rows = rows
        if self._stop.is_set():
            sys.exit(0)
        if time.monotonic() - self._written >= _WRITE_EVERY_S:
            self.write()

    def begin(self, total: int, before: int, rejected: int) -> None:
        """Now ``total`` events are sent. The time counts from here."""
        self._total, self._before, self._rejected = total, before, rejected
        self._began = time.monotonic()
        self.write()

    def needs(self, needed: Needed) -> None:
        """So much disk is needed. The time counts from here."""
        self._needed = needed
        self._began = time.monotonic()

    def sent(self, user: UserId) -> None:
        """One more event was handed over."""
        self._count += 1
        self._user = user
        if self._count % 16 == 0 and time.monotonic() - self._written >= _WRITE_EVERY_S:
            self.write()

    def flushed(self, span: LogSpan) -> None:
        """All that was handed over is in the log; all of the file's so far stands in ``span``."""
        self.done = self._count == self._total
        self._span = span
        self._took = time.monotonic() - self._began

    def became(self, outcome: Outcome) -> None:
        """So much is known of what became of the events."""
        self.outcome = outcome
        self.write()

    def write(self) -> None:
        """Write a line now."""
        self._written = time.monotonic()
        took = self._written - self._began if self._took is None else self._took
        line = ReplayProgress(
            self._count,
            self._total,
            took,
            self._user,
            self.done,
            self.outcome,
            self._rows,
            self._rejected,
            self._before,
            self._needed,
            self._span.starts,
            self._span.ends,
        )
        sys.stdout.buffer.write(encode_progress(line))
        sys.stdout.buffer.flush()


def _log(settings: Settings) -> str:
    """The name of the log of events; ``Unreachable`` where no broker answers."""
    if not settings.kafka.bootstrap_servers:
        return ""
    return log_name(settings.kafka.brokers, topic_name(settings.kafka.topic_prefix, EVENTS))


def _settling(settings: Settings) -> Settling | None:
    """``None`` where there is nothing to ask: the producer then says what is wrong, if anything."""
    try:
        return Settling(settings.kafka.brokers, settings.kafka.topic_prefix)
    except (Unreachable, KafkaError):
        return None


def _producer(
    settings: Settings, on_delivered: Callable[[int, int], None], *, bulk: bool
) -> AbstractContextManager[EventSender]:
    kafka = settings.kafka
    if not kafka.bootstrap_servers:
        raise SettingsError(
            "kafka.bootstrap_servers is empty; set EVERFRESH_KAFKA__BOOTSTRAP_SERVERS to the "
            "brokers' host:port, or use `everfresh replay`"
        )
    topic = topic_name(kafka.topic_prefix, EVENTS)
    if bulk:
        try:  # a replay does without librdkafka
            from everfresh.streaming.replay.bulk_producer import BulkProducer  # noqa: PLC0415
        except ModuleNotFoundError:
            raise MissingDependency(
                "a backfill needs librdkafka; install it with `pip install 'everfresh[sources]'`"
            ) from None
        return BulkProducer(kafka.brokers, topic, settings.events.max_bytes, on_delivered)
    return EventProducer(
        kafka.bootstrap_servers,
        topic,
        actions=settings.events.actions,
        max_bytes=settings.events.max_bytes,
        on_delivered=on_delivered,
        security=kafka.security.of_client,
    )


if __name__ == "__main__":
    run_main(main)
