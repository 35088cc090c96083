"""The outbox of one partition: numbered batches of records that still have to reach Kafka.

The partition's write batches fill it, so that a record waits here exactly if the state holds what
it follows from. Most outbox batches come whole with one write batch (``add_batch``). A closed slice
takes several: ``begin_batch``, ``add_row`` for each part, and ``complete_batch`` with the last one;
until then it is in the making and is not delivered.

Batches are delivered in the order in which they were completed, and each is removed as a whole: a
run on the windows topic starts at part 0. A number is not used again while its rows are stored.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Sequence

from everfresh.streaming.outbox.batch import OutboxBatch
from everfresh.streaming.outbox.rows import (
    OutboxRow,
    batch_of,
    batch_prefix,
    decode_outbox_row,
    encode_outbox_row,
    row_key,
)
from everfresh.streaming.state.key_layout import OUTBOX_PREFIX
from everfresh.streaming.state.store import PartitionStore
from everfresh.streaming.state.write_batch import WriteBatch


class Outbox:
    """Called by the partition's owner, from one thread.

    Whatever fills it only puts rows into a write batch; ``written`` counts them once that batch is
    in the store.
    """

    def __init__(self, store: PartitionStore, in_the_making: int | None = None) -> None:
        """Find what ``store`` holds. ``in_the_making`` is the batch that still lacks rows."""
        self._store = store
        self._bytes = _bytes_by_batch(store.scan(OUTBOX_PREFIX))
        numbers = sorted(self._bytes)
        self._waiting = deque(number for number in numbers if number != in_the_making)
        if in_the_making is not None:
            numbers.append(in_the_making)
        self._next_number = max(numbers, default=-1) + 1

    @property
    def waiting(self) -> int:
        """How many batches wait for delivery. One in the making does not."""
        return len(self._waiting)

    @property
    def waiting_bytes(self) -> int:
        """How many bytes those take."""
        return sum(self._bytes[number] for number in self._waiting)

    def begin_batch(self) -> int:
        """The number of a new batch, which is in the making from now on."""
        number, self._next_number = self._next_number, self._next_number + 1
        return number

    def add_row(self, number: int, index: int, row: OutboxRow, batch: WriteBatch) -> None:
        """Put row ``index`` of outbox batch ``number`` into ``batch``."""
        batch.puts[row_key(number, index)] = encode_outbox_row(row)

    def complete_batch(self, number: int, batch: WriteBatch) -> None:
        """Outbox batch ``number`` has its last row in ``batch``, and waits once that is written."""
        batch.outbox_batches.append(number)

    def add_batch(self, rows: Sequence[OutboxRow], batch: WriteBatch) -> None:
        """Make a new outbox batch of ``rows``, if there are any, complete with ``batch``."""
        if not rows:
            return
        number = self.begin_batch()
        for index, row in enumerate(rows):
            self.add_row(number, index, row, batch)
        self.complete_batch(number, batch)

    def written(self, batch: WriteBatch) -> None:
        """``batch`` is in the store: what it has completed waits for delivery."""
        self._waiting.extend(batch.outbox_batches)
        self._bytes.update(_bytes_by_batch(batch.puts.items()))

    def read_row(self, number: int, index: int) -> OutboxRow:
        """A stored row of a batch in the making; ``msgspec.DecodeError`` where there is none."""
        return decode_outbox_row(self._store.get(row_key(number, index)) or b"")

    def oldest(self) -> OutboxBatch | None:
        """The batch to deliver next, ``None`` where none waits."""
        return OutboxBatch(self._store, self._waiting[0]) if self._waiting else None

    def remove_oldest(self) -> None:
        """Forget the oldest batch as a whole, which has been delivered."""
        number = self._waiting[0]
        prefix = batch_prefix(number)
        # Not synced: should this be lost in a crash, the batch is delivered once more.
        self._store.write({}, [key for key, _ in self._store.scan(prefix)], sync=False)
        self._waiting.popleft()
        del self._bytes[number]


def _bytes_by_batch(pairs: Iterable[tuple[bytes, bytes]]) -> Counter[int]:
    """The bytes of each batch that has rows among ``pairs``."""
    sizes: Counter[int] = Counter()
    for key, row in pairs:
        if key.startswith(OUTBOX_PREFIX):
            sizes[batch_of(key)] += len(row)
    return sizes
