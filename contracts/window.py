"""Training windows: what the stream cuts and the trainer reads.

Law 3, windows tile the log: a *slice* is one contiguous offset range ``[start, end)`` of one events
partition; consecutive slices of a partition meet exactly. Every slice has a *label*, the number of
its period of ``windows.seconds`` in broker append time; labels of a partition only grow. The
*window* ``label`` is the set of slices with that label, one per partition at most. A window is
complete once every partition has closed a slice with that label or a later one.

History, which comes faster than it happened, is also cut inside a period. Slices of one label are
then numbered from 0 by their ``cut``. ``(label, cut)`` is their *place*, and takes the label's part
in all of the above.

On the ``windows`` topic (as many partitions as ``events``; slices of events partition p are
written to partition p by its owner) a slice is a run of :class:`SlicePart` and then one
:class:`SliceClosed`. After a crash a whole run may be written again: readers drop a run whose
label they have already closed. An empty slice (``events == 0``) is a watermark only.

``SliceClosed.format`` says what a reader must understand: :data:`FORMAT` where slices are cut by
their periods alone, :data:`CUT_FORMAT` from the second slice of one label on.
"""

from __future__ import annotations

import struct

import msgspec

from everfresh.contracts.errors import ForeignRecord, StateFormatError
from everfresh.contracts.event import UserId
from everfresh.contracts.foreign import MAP, Count, Milliseconds, decoded, refuse_newer
from everfresh.contracts.sequence import Interaction, decode_entries

FORMAT = 1
CUT_FORMAT = 2
READABLE = (FORMAT, CUT_FORMAT)

Place = tuple[int, int]
"""A window's label, and the number of its cut inside that period."""


class Example(msgspec.Struct, frozen=True, array_like=True):
    """One user's part of a slice: at most ``history_length`` earlier entries, then the targets.

    ``context`` and ``targets`` are entries as in ``contracts.sequence``, oldest first. ``offsets``
    and ``appended`` (broker append time, UTC ms) have one number per target. A user with very many
    events in one slice yields several examples, each the context of the next.
    """

    user: UserId
    context: bytes
    targets: bytes
    offsets: list[Count]
    appended: list[Milliseconds]


class SlicePart(msgspec.Struct, frozen=True, tag="part", omit_defaults=True):
    """Some of a slice's examples; parts of one slice are numbered from 0.

    Written by the stream worker, read by the trainer. A slice without parts has no events.
    """

    partition: Count
    label: Count
    part: Count
    actions: list[str]
    examples: list[Example]
    cut: Count = 0

    @property
    def place(self) -> Place:
        """Of its slice."""
        return self.label, self.cut


class SliceClosed(msgspec.Struct, frozen=True, tag="closed", omit_defaults=True):
    """The end of a slice: nothing with this label and ``cut`` follows in this partition.

    Written by the stream worker, read by the trainer. A slice without it is not complete yet.
    ``events`` counts accepted events, ``rejected`` those that went to the dead letters, or to their
    right partition, instead.
    ``digest`` is the sha256 of the encoded parts, in order, in hex.
    """

    format: Count
    partition: Count
    label: Count
    start: Count
    end: Count
    parts: Count
    events: Count
    rejected: Count
    digest: str
    cut: Count = 0

    @property
    def place(self) -> Place:
        """Of this slice."""
        return self.label, self.cut


SliceRecord = SlicePart | SliceClosed
_ENCODER = msgspec.msgpack.Encoder()
_DECODER: msgspec.msgpack.Decoder[SliceRecord] = msgspec.msgpack.Decoder(SliceRecord)


def encode_slice_record(record: SliceRecord) -> bytes:
    """Deterministic: equal records give equal bytes."""
    return _ENCODER.encode(record)


def decode_slice_record(raw: bytes | None) -> SliceRecord:
    """The inverse of :func:`encode_slice_record`; ``ForeignRecord`` for anything else, and
    ``NewerRecord`` where a newer release wrote it."""
    try:
        return decoded(_DECODER.decode, raw)
    except ForeignRecord as error:
        refuse_newer("a slice", raw, READABLE, MAP)
        raise error from None


class DecodedExample(msgspec.Struct, frozen=True, omit_defaults=True):
    """An example with its entries decoded.

    ``refused`` says of each target whether it is a refusal (``trainer.refusals``), or left unlearnt
    (``trainer.curate``): context of what comes after it, and not taught itself. Empty where none
    is.
    """

    user: UserId
    context: list[Interaction]
    targets: list[Interaction]
    offsets: list[int]
    appended: list[int]
    refused: list[bool] = []

    @property
    def taught(self) -> int:
        """Number of targets that are no refusals."""
        return len(self.targets) - sum(self.refused)

    @property
    def marks(self) -> list[bool]:
        """``refused`` with one for each target, also where none is; a list of its own."""
        return list(self.refused) or [False] * len(self.targets)

    def first(self, number: int) -> DecodedExample:
        """The same with so many targets, its first ones."""
        return msgspec.structs.replace(
            self,
            targets=self.targets[:number],
            offsets=self.offsets[:number],
            appended=self.appended[:number],
            refused=self.refused[:number],
        )


def decode_example(example: Example, actions: list[str]) -> DecodedExample:
    """Decode both entry runs with the action table of the part that carried the example.

    ``ForeignRecord`` where they are none, or not one target for each offset.
    """
    try:
        context = decode_entries(example.context, actions)
        targets = decode_entries(example.targets, actions)
    except (StateFormatError, ValueError, struct.error) as error:
        raise ForeignRecord(f"an example has entries that cannot be read: {error}") from None
    if not len(targets) == len(example.offsets) == len(example.appended):
        raise ForeignRecord(
            f"an example has {len(targets)} targets, {len(example.offsets)} offsets and "
            f"{len(example.appended)} append times"
        )
    return DecodedExample(example.user, context, targets, example.offsets, example.appended)


class TrainingWindow(msgspec.Struct, frozen=True):
    """A complete window, assembled: the unit of test-then-train (law 4).

    ``ranges`` maps events partition to ``(start, end)`` for every partition that had records with
    this label. ``next_read`` maps windows partition to the offset from which a trainer that has
    trained this window must read on; it goes into the manifest (law 5).
    """

    label: int
    ranges: dict[int, tuple[int, int]]
    examples: list[DecodedExample]
    next_read: dict[int, int]
    rejected: int = 0
    cut: int = 0

    @property
    def place(self) -> Place:
        """After that of every earlier window."""
        return self.label, self.cut

    @property
    def events(self) -> int:
        """Accepted events in this window; each is a training target exactly once."""
        return sum(len(example.targets) for example in self.examples)
