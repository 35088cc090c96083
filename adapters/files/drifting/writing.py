"""Writes a drifting stream to a file of JSON lines, and sums up what it wrote."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

from everfresh.adapters.files.checks import EventCheck
from everfresh.adapters.files.drifting.stream import Click, DriftingStream
from everfresh.contracts.errors import DataFileError, EventRejected, SettingsError

_TOLD_EVERY = 1000


@dataclasses.dataclass
class Ceiling:
    """How well one who knows the law ranks the clicked items among all items alive."""

    events: int = 0
    hits: int = 0
    gain: float = 0.0

    def add(self, rank: int) -> None:
        """Count one more click."""
        self.events += 1
        if rank <= 10:
            self.hits += 1
            self.gain += 1.0 / math.log2(1.0 + rank)

    @property
    def hr10(self) -> float:
        """Share of clicks whose item was among the ten likeliest."""
        return self.hits / max(1, self.events)

    @property
    def ndcg10(self) -> float:
        """The same, where lower places of the ten count less."""
        return self.gain / max(1, self.events)


@dataclasses.dataclass
class StreamSummary:
    """What was made."""

    users: int = 0
    items: int = 0
    first_ms: int | None = None
    last_ms: int = 0
    oracle: Ceiling = dataclasses.field(default_factory=Ceiling)
    """By one who also knows every user's favourite topic."""
    observer: Ceiling = dataclasses.field(default_factory=Ceiling)
    """By one who infers it from the user's clicks."""

    @property
    def events(self) -> int:
        """How many."""
        return self.oracle.events

    def add(self, click: Click) -> None:
        """Count one more click."""
        self.users += click.place == 1
        self.items += click.first_of_item
        self.first_ms = click.event.time if self.first_ms is None else self.first_ms
        self.last_ms = click.event.time
        self.oracle.add(click.rank)
        self.observer.add(click.observed_rank)


def summarize(clicks: Iterable[Click]) -> StreamSummary:
    """What these clicks amount to."""
    summary = StreamSummary()
    for click in clicks:
        summary.add(click)
    return summary


def write_stream(
    stream: DriftingStream,
    path: Path,
    check: EventCheck = lambda event: None,
    on_progress: Callable[[int], None] = lambda written: None,
) -> StreamSummary:
    """Write all events as JSON lines. ``path`` appears by one rename: whole, or not at all.

    ``on_progress`` is told every thousand events how many are written. ``DataFileError`` where the
    file exists or cannot be written, ``SettingsError`` for an event that ``check`` refuses.
    """
    if path.exists():
        raise DataFileError(f"{path} exists and is left as it is; name a new file, or delete it")
    draft = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        try:
            with draft.open("xb") as file:
                summary = summarize(_written(stream, file.write, check, on_progress))
                file.flush()
                os.fsync(file.fileno())
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)
    except OSError as error:
        raise DataFileError(
            f"{path} cannot be written: {error.strerror or error}; nothing was left there"
        ) from None
    return summary


def _written(
    stream: DriftingStream,
    write: Callable[[bytes], object],
    check: EventCheck,
    on_progress: Callable[[int], None],
) -> Iterable[Click]:
    encoder = msgspec.json.Encoder()
    for number, click in enumerate(stream.clicks(), 1):
        try:
            check(click.event)
        except EventRejected as error:
            raise SettingsError(
                f"event {number:,} of the stream would not be accepted: {error}; nothing was "
                "written: choose an earlier start or fewer events, or correct [events]"
            ) from None
        write(encoder.encode(click.event) + b"\n")
        if number % _TOLD_EVERY == 0:
            on_progress(number)
        yield click
