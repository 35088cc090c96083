"""The streams that the demo can show: published ratings, or made-up clicks that drift."""

from __future__ import annotations

import time
from pathlib import Path

import msgspec

from everfresh.adapters.files.checks import event_check
from everfresh.adapters.files.datasets import EventFile, fetch_ml100k
from everfresh.adapters.files.drifting.settings import DriftSettings
from everfresh.adapters.files.drifting.stream import DriftingStream
from everfresh.adapters.files.drifting.writing import Ceiling, write_stream
from everfresh.adapters.files.movielens import FILMS, read_films
from everfresh.adapters.files.opening import open_events
from everfresh.adapters.files.tables.mapping import Reading
from everfresh.adapters.kafka.items.writing import KafkaItemLog
from everfresh.contracts.errors import DataFileError
from everfresh.contracts.items.record import ItemChange
from everfresh.contracts.settings import Settings
from everfresh.infra.processes.children import OnUpdate, StepUpdate


class Stream(msgspec.Struct, frozen=True):
    """A file of events, and what its users do in it."""

    title: str
    file: Path
    form: str
    action: str
    """The type of its events."""
    value: float | None
    """What an event of one user's own, shown before and after, has for a value."""
    repeats: bool
    """Whether users come back to an item, so that what they have seen is ranked too."""
    films: Path | None = None
    """What its items are, where that is known."""
    ceiling: Ceiling | None = None
    """How well one who knows the stream's law ranks its events, where there is one."""

    def events(self, settings: Settings) -> EventFile:
        """Its events, by the rules of these settings."""
        reading = Reading(self.form)
        return open_events(self.file, reading, event_check(settings.events)).events


def fetch_ratings(steps: OnUpdate) -> Stream:
    """MovieLens 100K; downloads it where it is not here yet."""
    began = time.monotonic()
    steps(StepUpdate("ratings", "begins"))
    file = fetch_ml100k(lambda text: steps(StepUpdate("ratings", "waits", text)))
    films, note = None, ""
    try:
        films = fetch_ml100k(lambda text: steps(StepUpdate("ratings", "waits", text)), name=FILMS)
    except DataFileError as error:  # an older cache has the ratings alone
        note = f"without titles: {error}"
    steps(StepUpdate("ratings", "done", note, seconds=time.monotonic() - began))
    return Stream("MovieLens 100K", file, "ml-100k", "rating", 5.0, repeats=False, films=films)


def shelve_films(films: Path, settings: Settings) -> None:
    """Write what the films are to the topic ``items``."""
    with KafkaItemLog(settings.kafka.brokers, settings.kafka.topic_prefix) as log:
        log.write(ItemChange(film.id, film) for film in read_films(films))


def clicks_of(home: Path) -> Stream:
    """The made-up clicks, once :func:`write_clicks` has written them."""
    return Stream("made-up clicks", home / "clicks.jsonl", "jsonl", "click", None, repeats=True)


def write_clicks(stream: Stream, events: int, settings: Settings, steps: OnUpdate) -> Stream:
    """Make so many events; the stream with its ceiling."""
    began = time.monotonic()
    steps(StepUpdate("clicks", "begins"))

    def tell(written: int) -> None:
        took = time.monotonic() - began
        steps(StepUpdate("clicks", "waits", f"{written:,} of {events:,}", seconds=took))

    made = write_stream(
        DriftingStream(DriftSettings(), events), stream.file, event_check(settings.events), tell
    )
    steps(StepUpdate("clicks", "done", seconds=time.monotonic() - began))
    return msgspec.structs.replace(stream, ceiling=made.observer)
