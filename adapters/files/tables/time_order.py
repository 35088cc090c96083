"""Events in time order, however many and in whatever order they come: an external merge sort.

Events are gathered into runs that fit into memory. Each run is sorted and written to a file without
a name, in blocks. Reading merges the runs, with one block of each in memory; runs that follow each
other in time, as those of a file in order do, are read one after the other. Events of equal times
keep the order in which they came.
"""

from __future__ import annotations

import heapq
import itertools
import os
import tempfile
import weakref
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from operator import attrgetter, gt
from pathlib import Path

import msgspec

from everfresh.contracts.errors import DataFileError
from everfresh.contracts.event import Event

RUN = 200_000
"""Events of a run: some 100 MB of memory while it is gathered."""
_BLOCK = 128

_time = attrgetter("time")
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[Event]).decode


@dataclass(frozen=True)
class _Run:
    blocks: list[tuple[int, int]]
    first: int
    last: int


class TimeOrder:
    """The events, sorted by time; they can be read several times. ``scratch`` is the folder used.

    ``DataFileError`` where it cannot be written.
    ``sorted_already`` says that they came in order.
    """

    def __init__(self, events: Iterable[Event], scratch: Path | None, run: int = RUN) -> None:
        place = Path(tempfile.gettempdir()) if scratch is None else scratch
        with _told(place):
            place.mkdir(parents=True, exist_ok=True)
            # Without a name: it is gone with its last reader, however that ends.
            self._file = tempfile.TemporaryFile(prefix="everfresh-", dir=place)  # noqa: SIM115
        weakref.finalize(self, self._file.close)
        self._runs: list[_Run] = []
        self._length = 0
        self.sorted_already = True
        source = iter(events)
        while gathered := list(itertools.islice(source, run)):
            self._length += len(gathered)
            before = self._runs[-1].last if self._runs else -1
            times = [before, *map(_time, gathered)]
            if any(map(gt, times, times[1:])):
                self.sorted_already = False
                gathered.sort(key=_time)
            with _told(place):
                self._runs.append(self._written(gathered))

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[Event]:
        if all(one.last <= other.first for one, other in itertools.pairwise(self._runs)):
            return itertools.chain.from_iterable(map(self._read, self._runs))
        return heapq.merge(*map(self._read, self._runs), key=_time)

    def _written(self, events: list[Event]) -> _Run:
        blocks = []
        for begin in range(0, len(events), _BLOCK):
            raw = _encode(events[begin : begin + _BLOCK])
            blocks.append((self._file.tell(), len(raw)))
            self._file.write(raw)
        self._file.flush()
        return _Run(blocks, events[0].time, events[-1].time)

    def _read(self, run: _Run) -> Iterator[Event]:
        for place, size in run.blocks:
            yield from _decode(os.pread(self._file.fileno(), size, place))


@contextmanager
def _told(place: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DataFileError(
            f"events are sorted through a file in {place}, which cannot be written: "
            f"{error.strerror}; make room there, or name another folder with --home"
        ) from None
