"""A million malformed records through the decoder and the fold: no crash, all accounted for.

    python -m tests.fuzz.decoder_fuzz [--inputs N] [--seed N] [--json FILE]

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

from benchmarks.harness.report import show_table, write_figures
from everfresh.contracts.errors import EventRejected
from everfresh.contracts.event import Event
from everfresh.contracts.event_codec import EventDecoder
from everfresh.contracts.foreign import MAX_TIME_MS
from everfresh.streaming.fold.rules import FoldRules
from everfresh.streaming.log.identity import LogPlace
from everfresh.streaming.partition import Partition, open_partition
from everfresh.streaming.state.store import MemoryStore
from tests.fuzz.malformed_records import Headers, MalformedRecords

ACTIONS = ["view", "click", "like"]
MAX_BYTES = 4096
AHEAD_MS = 60_000
_BATCH = 500
_START_MS = 1_700_000_000_000
_TOPIC = "fuzz.events"


class Findings(msgspec.Struct):
    """What became of the inputs."""

    inputs: int = 0
    accepted: int = 0
    crashed: int = 0
    disagreed: int = 0
    unsound: int = 0
    reasons: Counter[str] = msgspec.field(default_factory=Counter)
    messages: list[str] = []

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


def fuzz(inputs: int, seed: int) -> Findings:
    """Run that many inputs; stops at nothing."""
    findings = Findings(messages=[])
    decoder = EventDecoder(ACTIONS, MAX_BYTES)
    partition = _partition()
    source = iter(MalformedRecords(seed, ACTIONS, MAX_BYTES))
    for begin in range(0, inputs, _BATCH):
        number = min(_BATCH, inputs - begin)
        records = [
            Record(begin + at, _START_MS + begin + at, *malformed)
            for at, malformed in enumerate(itertools.islice(source, number))
        ]
        alone = Counter(_decode(decoder, record, findings) for record in records)
        findings.inputs += number
        findings.accepted += alone.pop("", 0)
        findings.reasons += alone
        _fold(partition, records, alone, findings)
        if (begin + number) % 100_000 == 0:
            sys.stderr.write(f"{begin + number} of {inputs}, {findings.accepted} accepted\n")
    return findings


def _decode(decoder: EventDecoder, record: Record, findings: Findings) -> str:
    """The reason of a rejection, empty for none."""
    try:
        event = decoder.decode(record.key, record.value, record.headers)
    except EventRejected as cause:
        return cause.reason
    except Exception as error:
        findings.crashed += 1
        findings.messages.append(
            f"{error!r} from {record.key!r} {record.value!r} {record.headers!r}"
        )
        return "crashed"
    if event.time > record.timestamp + AHEAD_MS:
        return "in_the_future"
    if not _sound(event, record.key):
        findings.unsound += 1
        findings.messages.append(f"accepted: {event!r} with key {record.key!r}")
    return ""


def _sound(event: Event, key: bytes | None) -> bool:
    value: Any = event.value
    return (
        str(event.user_id).encode() == key
        and event.type in ACTIONS
        and bool(event.id)
        and 0 <= event.time <= MAX_TIME_MS
        and all(_sound_id(identity) for identity in (event.user_id, event.item_id))
        and (value is None or math.isfinite(value))
    )


def _sound_id(value: int | str) -> bool:
    if isinstance(value, str):
        return 1 <= len(value.encode()) <= 200
    return type(value) is int and -(2**63) <= value < 2**63


def _fold(
    partition: Partition, records: list[Record], alone: Counter[str], findings: Findings
) -> None:
    changes = partition.apply(records)
    missing_dead_letters = sum(changes.rejected.values())
    while rows := partition.outbox.oldest():
        missing_dead_letters -= sum(row.topic == "dead-letters" for row in rows)
        partition.outbox.remove_oldest()
    same = changes.rejected == alone and changes.accepted == len(records) - alone.total()
    if not same or missing_dead_letters:
        findings.disagreed += 1
        findings.messages.append(
            f"from {records[0].offset}: {alone} alone, {changes.rejected} folded"
        )


def _partition() -> Partition:
    rules = FoldRules(ACTIONS, MAX_BYTES, 20, 64, 65_536, 1000, ahead_ms=AHEAD_MS)
    place = LogPlace("fuzz", _TOPIC, "fuzz", 0, 0, 2**40, 1)
    return open_partition(MemoryStore(), place, rules)


def main(argv: Sequence[str] | None = None) -> None:
    """Run, print, exit with 1 where anything is wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.decoder_fuzz", description=__doc__)
    parser.add_argument("--inputs", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, help="write the flat JSON object there")
    options = parser.parse_args(argv)
    began = time.monotonic()
    findings = fuzz(options.inputs, options.seed)
    rows = [("accepted", findings.accepted), *sorted(findings.reasons.items())]
    title = f"What became of {findings.inputs} inputs"
    good = "all accepted or rejected for a reason, none crashed or unaccounted"
    show_table(title, ("outcome", "inputs"), rows, good=good)
    for message in findings.messages[:20]:
        sys.stderr.write(message[:500] + "\n")
    figures = {
        name: getattr(findings, name)
        for name in ("inputs", "accepted", "unaccounted", "crashed", "disagreed", "unsound")
    }
    reasons = {f"rejected_{reason}": number for reason, number in findings.reasons.items()}
    write_figures({**figures, **reasons}, began, options.json)
    sys.exit(0 if findings.clean else 1)


if __name__ == "__main__":
    main()
