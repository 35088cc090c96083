"""Reads the definitions of experiments: the last good one of each name, with its version."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from everfresh.adapters.kafka.consumers import Closing, connect_consumer, read_until, reading
from everfresh.contracts.errors import ForeignRecord
from everfresh.contracts.experiments.assignment import Assignments
from everfresh.contracts.experiments.definition import Definition, decode_definition
from everfresh.contracts.kafka.security import Brokers
from everfresh.contracts.topics import EXPERIMENTS, topic_name

MOST_EXPERIMENTS = 1_000
"""Names that are kept at a time. Somebody who writes more of them fills no reader's memory; one
that was stopped makes room for a new one."""
_WAIT_MS = 5_000


class DefinitionReader(Closing):
    """Reads the topic ``experiments`` from its beginning. Used by one thread; a context manager.

    A record that is no definition, has another key than its name, or is one name too many is left
    out: ``skipped`` counts it, and the last good definition of the name stays. ``end`` is the
    offset after the last record that was read. With ``before`` it ends at that offset.
    """

    def __init__(self, brokers: Brokers, topic_prefix: str, before: int | None = None) -> None:
        self._brokers = brokers
        self._before = before
        self._topic = topic_name(topic_prefix, EXPERIMENTS)
        self._known: dict[str, tuple[int, Definition]] = {}
        self._consumer = connect_consumer(brokers, [self._topic], wait_ms=_WAIT_MS)
        self._consumer.seek_to_beginning()
        self.end = 0
        self.skipped = 0
        self._last_skipped = ""

    def read_to_end(self) -> None:
        """Take in what is there now."""
        with reading(self._topic, self._brokers):
            ends = self._consumer.end_offsets(self._consumer.assignment())
            if self._before is not None:
                ends = {part: min(end, self._before) for part, end in ends.items()}
            for _, messages in read_until(self._consumer, ends):
                self._take(messages)
            # Kafka may have removed the newest records, and offsets go on after them.
            self.end = max(self.end, *ends.values())

    def poll(self, timeout_ms: int) -> bool:
        """Take in what comes within the time; whether anything did."""
        with reading(self._topic, self._brokers):
            batches = self._consumer.poll(timeout_ms=timeout_ms)
        for messages in batches.values():
            self._take(messages)
        return bool(batches)

    def definitions(self) -> dict[str, tuple[int, Definition]]:
        """Version and definition by name; those that were stopped among them."""
        return dict(self._known)

    def assignments(self) -> Assignments:
        """What assigns users by the definitions as they are now."""
        return Assignments(self._known.values())

    def left_out(self) -> str:
        """One line on what was skipped and where the last of it stands; empty for nothing."""
        if not self.skipped:
            return ""
        return (
            f"left out: {self.skipped:,} records that define no experiment, the last at "
            f"{self._last_skipped}"
        )

    def close(self) -> None:
        """End the connection."""
        self._consumer.close()

    def _take(self, messages: Iterable[Any]) -> None:
        for message in messages:
            self.end = message.offset + 1
            try:
                self._apply(message)
            except ForeignRecord as error:
                self.skipped += 1
                self._last_skipped = f"{self._topic} offset {message.offset}: {error}"

    def _apply(self, message: Any) -> None:
        if message.value is None:
            # Somebody took the experiment away; a name that is no text never was one of ours.
            self._known.pop((message.key or b"").decode(errors="replace"), None)
            return
        definition = decode_definition(message.value)
        if message.key != definition.name.encode():
            raise ForeignRecord("its key does not name the experiment that its value defines")
        if definition.name not in self._known and len(self._known) >= MOST_EXPERIMENTS:
            self._forget_one_that_ended()
        self._known[definition.name] = (message.offset, definition)

    def _forget_one_that_ended(self) -> None:
        """The one that was stopped first; ``ForeignRecord`` where all that are known run."""
        ended = [
            (offset, name)
            for name, (offset, each) in self._known.items()
            if each.stopped is not None
        ]
        if not ended:
            raise ForeignRecord(f"{MOST_EXPERIMENTS:,} experiments run already")
        del self._known[min(ended)[1]]
