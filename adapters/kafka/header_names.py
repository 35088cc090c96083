"""Lets kafka-python read records that have a header whose name is no UTF-8.

Kafka takes any bytes for the name of a header, and clients whose strings are bytes send any. Where
the name is no text, kafka-python calls the whole batch corrupt, and its consumer never gets past
it. Here such a name is read with backslashes in place of the bytes that are no text.
"""

from __future__ import annotations

from typing import Any

from kafka.record import memory_records
from kafka.record.default_records import DefaultRecordBatch


class ForgivingBytes(bytearray):
    """Bytes of which each slice decodes, whatever it holds."""

    def __getitem__(self, at: Any) -> Any:
        """A slice is of this class too."""
        got = super().__getitem__(at)
        return ForgivingBytes(got) if isinstance(at, slice) else got

    def decode(self, encoding: str = "utf-8", errors: str = "backslashreplace") -> str:
        """Text; what is none is written with backslashes."""
        return bytes(self).decode(encoding, "backslashreplace")


class _Batch(DefaultRecordBatch):  # type: ignore[misc]  # the library has no type hints
    _buffer: Any

    def _read_msg(self, *args: Any) -> Any:
        try:
            return super()._read_msg(*args)
        except UnicodeDecodeError:
            # Slower, so not for all. Where a record begins is noted once it has been read.
            self._buffer = ForgivingBytes(self._buffer)
            return super()._read_msg(*args)


def forgive_header_names() -> None:
    """Have this process's consumers of kafka-python read such records; needed once."""
    memory_records.DefaultRecordBatch = _Batch
