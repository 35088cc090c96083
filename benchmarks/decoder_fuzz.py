"""A million malformed records through the decoder and the fold: no crash, all accounted for.

Every input is decoded by ``EventDecoder`` alone, which must return an event or raise
``EventRejected``, and is compared with its append time; then whole batches go through the fold of a
partition, whose counts must be the same, with one dead letter per rejection. ``unaccounted`` is
what is neither accepted nor rejected for a reason, ``disagreed`` where decoder and fold differ,
``unsound`` what was accepted and breaks the rules of the event by a plain look at it.
"""

from __future__ import annotations

import argparse
import itertools
import math
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from benchmarks._harness import finish, show
from benchmarks.nonsense import Headers, Nonsense
from everfresh.contracts.errors import EventRejected
from everfresh.contracts.event import Event
from everfresh.contracts.event_codec import MAX_TIME_MS, EventDecoder
from everfresh.streaming.fold.rules import FoldRules
from everfresh.streaming.log.identity import LogPlace
from everfresh.streaming.partition import Partition, open_partition
from everfresh.streaming.state.store import MemoryStore

ACTIONS = ["view", "click", "like"]
MAX_BYTES = 4096
AHEAD_MS = 60_000
_BATCH = 500
_START_MS = 1_700_000_000_000
_TOPIC = "fuzz.events"


class Found(msgspec.Struct):
    """What became of the inputs."""

    inputs: int = 0
    accepted: int = 0
    crashed: int = 0
    disagreed: int = 0
    unsound: int = 0
    reasons: Counter[str] = msgspec.field(default_factory=Counter)
    words: list[str] = []

    @property
    def unaccounted(self) -> int:
        """Inputs that are neither accepted nor rejected for a reason."""
        return self.inputs - self.accepted - self.reasons.total()

    @property
    def clean(self) -> bool:
        """Whether nothing is wrong."""
        return not (self.unaccounted or self.crashed or self.disagreed or self.unsound)


class Record(msgspec.Struct, frozen=True):
    """An input as the log would hand it over."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Headers
    topic: str = _TOPIC
    partition: int = 0


def fuzz(inputs: int, seed: int) -> Found:
    """Run that many inputs; stops at nothing."""
    found = Found(words=[])
    decoder = EventDecoder(ACTIONS, MAX_BYTES)
    partition = _partition()
    source = iter(Nonsense(seed, ACTIONS, MAX_BYTES))
    for begin in range(0, inputs, _BATCH):
        number = min(_BATCH, inputs - begin)
        records = [
            Record(begin + at, _START_MS + begin + at, *one)
            for at, one in enumerate(itertools.islice(source, number))
        ]
        alone = Counter(_decode(decoder, record, found) for record in records)
        found.inputs += number
        found.accepted += alone.pop("", 0)
        found.reasons += alone
        _fold(partition, records, alone, found)
        if (begin + number) % 100_000 == 0:
            print(f"{begin + number} of {inputs}, {found.accepted} accepted", file=sys.stderr)
    return found


def _decode(decoder: EventDecoder, record: Record, found: Found) -> str:
    """The reason of a rejection, empty for none."""
    try:
        event = decoder.decode(record.key, record.value, record.headers)
    except EventRejected as cause:
        return cause.reason
    except Exception as error:
        found.crashed += 1
        found.words.append(f"{error!r} from {record.key!r} {record.value!r} {record.headers!r}")
        return "crashed"
    if event.time > record.timestamp + AHEAD_MS:
        return "in_the_future"
    if not _sound(event, record.key):
        found.unsound += 1
        found.words.append(f"accepted: {event!r} with key {record.key!r}")
    return ""


def _sound(event: Event, key: bytes | None) -> bool:
    value: Any = event.value
    return (
        str(event.user_id).encode() == key
        and event.type in ACTIONS
        and bool(event.id)
        and 0 <= event.time <= MAX_TIME_MS
        and all(_sound_id(one) for one in (event.user_id, event.item_id))
        and (value is None or math.isfinite(value))
    )


def _sound_id(value: int | str) -> bool:
    if isinstance(value, str):
        return 1 <= len(value.encode()) <= 200
    return type(value) is int and -(2**63) <= value < 2**63


def _fold(partition: Partition, records: list[Record], alone: Counter[str], found: Found) -> None:
    changes = partition.apply(records)
    letters = sum(changes.rejected.values())
    while rows := partition.outbox.oldest():
        letters -= sum(row.topic == "dead-letters" for row in rows)
        partition.outbox.remove_oldest()
    if changes.rejected != alone or changes.accepted != len(records) - alone.total() or letters:
        found.disagreed += 1
        found.words.append(f"from {records[0].offset}: {alone} alone, {changes.rejected} folded")


def _partition() -> Partition:
    rules = FoldRules(ACTIONS, MAX_BYTES, 20, 64, 65_536, 1000, ahead_ms=AHEAD_MS)
    place = LogPlace("fuzz", _TOPIC, "fuzz", 0, 0, 2**40, 1)
    return open_partition(MemoryStore(), place, rules)


def main(argv: Sequence[str] | None = None) -> None:
    """Run, print, exit with 1 where anything is wrong."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.decoder_fuzz", description=__doc__)
    parser.add_argument("--inputs", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, help="write the flat JSON object there")
    options = parser.parse_args(argv)
    began = time.monotonic()
    found = fuzz(options.inputs, options.seed)
    rows = [("accepted", found.accepted), *sorted(found.reasons.items())]
    show(f"What became of {found.inputs} inputs", ("outcome", "inputs"), rows)
    for words in found.words[:20]:
        print(words[:500], file=sys.stderr)
    figures = {
        name: getattr(found, name)
        for name in ("inputs", "accepted", "unaccounted", "crashed", "disagreed", "unsound")
    }
    reasons = {f"rejected_{reason}": number for reason, number in found.reasons.items()}
    finish({**figures, **reasons}, began, options.json)
    sys.exit(0 if found.clean else 1)


if __name__ == "__main__":
    main()
