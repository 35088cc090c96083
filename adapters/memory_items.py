"""The ports of the catalogue in memory, as ``adapters.memory`` has the others."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator

from everfresh.contracts.errors import ForeignRecord
from everfresh.contracts.items.record import ItemChange, decode_change, encode_item, item_key

_BATCH = 500


class MemoryItemLog:
    """``ItemLog`` over a list of keys and values; what is appended to it may be foreign, too."""

    def __init__(self) -> None:
        self.records: list[tuple[bytes | None, bytes | None]] = []
        self.now_ms = 0
        self.appended: dict[int, int] = {}
        """When records were, by their offsets; others have been there for ever."""
        self.changed = threading.Event()

    def write(self, changes: Iterable[ItemChange]) -> int:
        """See the port."""
        for change in changes:
            value = None if change.item is None else encode_item(change.item)
            self.appended[len(self.records)] = self.now_ms
            self.records.append((item_key(change.id), value))
        self.changed.set()
        return len(self.records)


class MemoryItemSource:
    """``ItemSource`` over such a log, from ``begin`` on, or from the beginning of a shorter one."""

    def __init__(self, log: MemoryItemLog, begin: int = 0) -> None:
        self._log = log
        self.end = begin if begin <= len(log.records) else 0
        self.goal = 0
        self.skipped = 0
        self._last_skipped = ""

    def read_to_end(self, before_ms: int | None = None) -> Iterator[list[ItemChange]]:
        """See the port."""
        self.goal = len(self._log.records)
        for offset in range(self.end, self.goal):
            if before_ms is not None and self._log.appended.get(offset, 0) >= before_ms:
                self.goal = offset
                break
        while self.end < self.goal:
            yield self._take(min(self.goal, self.end + _BATCH))

    def poll(self, timeout_ms: int) -> list[ItemChange]:
        """See the port."""
        if self.end == len(self._log.records):
            self._log.changed.wait(timeout_ms / 1000)
        self._log.changed.clear()
        return self._take(len(self._log.records))

    def left_out(self) -> str:
        """See the port."""
        return f"left out: {self.skipped:,} records, {self._last_skipped}" if self.skipped else ""

    def close(self) -> None:
        """Nothing is open."""

    def _take(self, end: int) -> list[ItemChange]:
        changes = []
        for key, value in self._log.records[self.end : end]:
            appended = self._log.appended.get(self.end, 0)
            self.end += 1
            try:
                changes.append(decode_change(key, value, appended, self.end - 1))
            except ForeignRecord as error:
                self.skipped += 1
                self._last_skipped = f"the last at offset {self.end - 1}: {error}"
        return changes
