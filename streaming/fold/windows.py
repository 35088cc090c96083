"""Cuts the log into slices and examples (law 3). Pure: no I/O and no clock.

Windows tile the log. The label of a record is the number of its period in broker append time, but
later than the last closed label and never less than the open one; so labels only grow. A record
with a later label closes the open slice right before itself.

History is what happened more than an hour before it was appended: a file that is sent now, an old
topic. It comes as fast as the log takes it, so a period of append time says nothing of it. A slice
is therefore cut as well once it has ``history_events`` accepted events, or a multiple of them, and
half of these or more are history. What follows has the same label and the next number of the cut.

Inside a slice, a *stretch* is a run of at most ``stretch_events`` accepted events: it ends where
that many came, or with the slice. Each stretch yields one example per user it met, in order of the
users' first events; a user with more than ``max_targets`` events in it yields several. Context is
the sequence as it was before. Which event belongs to which example follows from the log alone, so
how it was cut into fetches leaves no trace in a slice's bytes.
"""

from __future__ import annotations

from collections.abc import Iterator

from everfresh.contracts.sequence import HEADER_BYTES, decode_id, grown, skip_entries, unpack_header
from everfresh.contracts.window import Example
from everfresh.streaming.fold.rows import SliceHead

HISTORY_AFTER_MS = 3_600_000
"""An event that was appended so much later than it happened is history."""

Run = tuple[bytes, list[int], list[int]]
"""A user's events of a stretch: entries, offsets, append times; see ``contracts.segment.split``."""

_NUMBER_BYTES = 9  # the most that msgpack takes for one offset or time
_EXAMPLE_BYTES = 32  # and for the frame of an example


def label_of(append_ms: int, head: SliceHead) -> int:
    """The label of a record appended at ``append_ms``, given where the open slice stands."""
    return max(append_ms // head.period_ms, head.closed + 1, head.label)


def room_of_history(head: SliceHead) -> int | None:
    """Accepted events up to where history may be cut next; ``None`` for nowhere."""
    if not head.history_events:
        return None
    return head.history_events - head.events % head.history_events


def is_full_of_history(head: SliceHead) -> bool:
    """Whether history is cut after the event that the open slice has just taken in."""
    if not head.history_events or not head.events or head.events % head.history_events:
        return False
    return 2 * head.history >= head.events


def last_ended(now_ms: int, period_ms: int, grace_ms: int) -> int:
    """The last label whose period ended at least ``grace_ms`` ago."""
    return (now_ms - grace_ms) // period_ms - 1


def cut_examples(
    user: bytes, value: bytes | None, run: Run, max_targets: int, history_length: int
) -> Iterator[tuple[Example, bytes]]:
    """A user's examples in one stretch, each with the sequence value that stands after it.

    ``user`` is the id as bytes, ``value`` the sequence before the stretch.
    """
    entries, offsets, appended = run
    name = decode_id(user)
    begin = 0
    for first in range(0, len(offsets), max_targets):
        number = min(max_targets, len(offsets) - first)
        end = len(entries) if number == len(offsets) else skip_entries(entries, begin, number)
        context = b"" if value is None else _last(value, history_length)
        targets, upto = entries[begin:end], first + number
        value = grown(value, targets, number, offsets[upto - 1], history_length)
        yield (
            Example(name, context, targets, offsets[first:upto], appended[first:upto]),
            value,
        )
        begin = end


def _last(value: bytes, length: int) -> bytes:
    count = unpack_header(value)[2]
    return value[skip_entries(value, HEADER_BYTES, count - length) :]


def example_bytes(entries: int, targets: int) -> int:
    """About how many bytes an example takes: ``entries`` in bytes, ``targets`` in number."""
    return _EXAMPLE_BYTES + entries + 2 * _NUMBER_BYTES * targets
