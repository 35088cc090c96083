"""Lets aiokafka read records that have a header whose name is no UTF-8.

As ``adapters.kafka.header_names`` does for kafka-python, and for the same reason: a worker would
never get past the first of them. aiokafka parses by compiled code, so a batch that this code does
not take is parsed again by the Python code beside it.

Private parts that are used here: ``aiokafka.consumer.fetcher.MemoryRecords``,
``aiokafka.record.default_records._DefaultRecordBatchPy`` with its ``_buffer`` and
``_maybe_uncompress``.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

from aiokafka.consumer import fetcher
from aiokafka.record.default_records import _DefaultRecordBatchPy
from aiokafka.record.memory_records import MemoryRecords

from everfresh.adapters.kafka.header_names import ForgivingBytes

_OFFSET_AND_LENGTH = struct.Struct(">qi")


class _ForgivingBatch(_DefaultRecordBatchPy):  # type: ignore[misc]  # it is final, for its author
    _buffer: Any

    def _maybe_uncompress(self) -> None:
        super()._maybe_uncompress()
        self._buffer = ForgivingBytes(self._buffer)


class _Batch:
    """A batch as the compiled code parses it, or else with names that are no text forgiven."""

    def __init__(self, batch: Any, raw: memoryview) -> None:
        self._batch = batch
        self._raw = raw

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __next__(self) -> Any:
        return next(self._batch)

    def __iter__(self) -> Iterator[Any]:
        try:
            # As a whole: a loop of ours around each record would cost more than to parse it.
            return iter(list(self._batch))
        except UnicodeDecodeError:
            return iter(_ForgivingBatch(self._raw))


class _Records:
    """Stands in for aiokafka's ``MemoryRecords``: the batches of one answer."""

    def __init__(self, raw: bytes) -> None:
        self._raw = memoryview(raw)
        self._begin = 0
        self._records = MemoryRecords(raw)

    def size_in_bytes(self) -> int:
        return int(self._records.size_in_bytes())

    def has_next(self) -> bool:
        return bool(self._records.has_next())

    def next_batch(self) -> _Batch:
        begin = self._begin
        _, length = _OFFSET_AND_LENGTH.unpack_from(self._raw, begin)
        self._begin = begin + _OFFSET_AND_LENGTH.size + length
        return _Batch(self._records.next_batch(), self._raw[begin : self._begin])


def forgive_header_names() -> None:
    """Have this process's consumers of aiokafka read such records; needed once."""
    fetcher.MemoryRecords = _Records
