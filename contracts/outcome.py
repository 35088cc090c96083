"""The outcome: an exposure and the feedback that the user gave on it within the horizon."""

from __future__ import annotations

import msgspec

from everfresh.contracts.event import ItemId
from everfresh.contracts.exposure import Exposure
from everfresh.contracts.foreign import decoded


class Feedback(msgspec.Struct, frozen=True):
    """One accepted event that named the exposure's request; part of an :class:`Outcome`.

    ``offset`` is its place in the events partition with the exposure's partition number;
    ``appended`` is its append time and ``time`` the time that the producer gave, both UTC ms.
    ``position`` is the item's place in ``exposure.items``, from 0; ``None`` for an item that was
    not shown. ``value`` is ``None`` where the action has no magnitude.
    """

    offset: int
    appended: int
    time: int
    type: str
    item_id: ItemId
    position: int | None
    value: float | None


class Outcome(msgspec.Struct, frozen=True):
    """One exposure and the feedback that came for it, in log order; empty where none came.

    Written by the stream worker to ``outcomes`` (key: ``id``) when the horizon is over in log time:
    nothing more can come within ``horizon_ms`` of ``appended``, the exposure's append time. Read by
    experimenters. An exposure without an outcome is one whose horizon is not over yet.

    ``id`` is ``<partition>-<offset>`` of the exposure's record. An outcome may be written again
    after a crash, with the same ``id``: readers keep the first of each.
    """

    id: str
    appended: int
    horizon_ms: int
    exposure: Exposure
    feedback: list[Feedback]


_DECODE = msgspec.json.Decoder(Outcome).decode


def encode_outcome(outcome: Outcome) -> bytes:
    """JSON, so that experimenters read the topic with any client."""
    return msgspec.json.encode(outcome)


def decode_outcome(raw: bytes | None) -> Outcome:
    """The inverse of :func:`encode_outcome`; ``ForeignRecord`` for anything else."""
    return decoded(_DECODE, raw)
