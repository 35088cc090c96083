"""Windows of a file's events as records of the windows topic, as the trainer reads them."""

from __future__ import annotations

from collections.abc import Iterable

from everfresh.contracts.sequence import Interaction, encode_entry
from everfresh.contracts.window import (
    FORMAT,
    Example,
    SliceClosed,
    SlicePart,
    SliceRecord,
    TrainingWindow,
)
from everfresh.trainer.windows.assemble import slice_digest

_ACTIONS = ["rating"]


def window_records(windows: Iterable[TrainingWindow]) -> list[SliceRecord]:
    """The records of one partition of the windows topic."""
    records: list[SliceRecord] = []
    offset = 0
    for window in windows:
        examples = []
        start = offset
        for example in window.examples:
            offsets = list(range(offset, offset + len(example.targets)))
            offset += len(offsets)
            examples.append(
                Example(
                    example.user,
                    _entries(example.context),
                    _entries(example.targets),
                    offsets,
                    offsets,
                )
            )
        part = SlicePart(0, window.label, 0, _ACTIONS, examples)
        digest = slice_digest([part])
        records += [
            part,
            SliceClosed(FORMAT, 0, window.label, start, offset, 1, offset - start, 0, digest),
        ]
    return records


def _entries(events: Iterable[Interaction]) -> bytes:
    return b"".join(encode_entry(seen.item, 0, seen.time, seen.value) for seen in events)
