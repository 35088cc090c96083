"""Writes a drifting stream to a file of JSON lines, and sums up what it wrote."""

from __future__ import annotations

import dataclasses
import math
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import msgspec

from everfresh.adapters.files.drifting.stream import Click, DriftingStream
from everfresh.contracts.errors import DataFileError


@dataclasses.dataclass
class Summary:
    """What was made. ``ceiling`` figures rank all items alive by their true probabilities."""

    events: int = 0
    users: int = 0
    items: int = 0
    first_ms: int = 0
    last_ms: int = 0
    hits: int = 0
    gain: float = 0.0

    @property
    def ceiling_hr10(self) -> float:
        """Share of clicks whose item was among the ten likeliest."""
        return self.hits / self.events

    @property
    def ceiling_ndcg10(self) -> float:
        """The same, where lower places of the ten count less."""
        return self.gain / self.events

    @property
    def first_clicks(self) -> float:
        """Share of clicks that are their user's first."""
        return self.users / self.events

    def add(self, click: Click) -> None:
        """Count one more click."""
        self.events += 1
        self.users += click.place == 1
        self.items = max(self.items, int(click.event.item_id))
        self.first_ms = self.first_ms or click.event.time
        self.last_ms = click.event.time
        if click.rank <= 10:
            self.hits += 1
            self.gain += 1.0 / math.log2(1.0 + click.rank)


def write_stream(
    stream: DriftingStream, path: Path, on_progress: Callable[[int], None] = lambda written: None
) -> Summary:
    """Write all events as JSON lines; ``path`` appears by one rename, whole or not at all.

    ``on_progress`` is told now and then how many are written. ``DataFileError`` where the file
    cannot be written.
    """
    summary, encoder = Summary(), msgspec.json.Encoder()
    try:
        handle, draft = tempfile.mkstemp(prefix=f".{path.name}-", suffix=".part", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                for click in stream.clicks():
                    file.write(encoder.encode(click.event) + b"\n")
                    summary.add(click)
                    if summary.events % 1000 == 0:
                        on_progress(summary.events)
                file.flush()
                os.fsync(file.fileno())
            Path(draft).replace(path)
        finally:
            Path(draft).unlink(missing_ok=True)
    except OSError as error:
        raise DataFileError(f"{path} cannot be written: {error.strerror}") from None
    return summary
