"""The exposure: which items an answer showed to whom, by which weights, from which state."""

from __future__ import annotations

import msgspec

from everfresh.contracts.event import ItemId, UserId


class Exposure(msgspec.Struct, frozen=True):
    """One answer that left a replica.

    Written by serving to the ``exposures`` topic (key: user id) once per answered request; read by
    the stream's join with feedback and by experimenters. An answer whose exposure could not be
    delivered has none. ``version`` is the weights version that scored every item of the answer
    (law 7). ``state_offset`` is the log offset, in ``state_partition``, of the user's last event
    that was known; both are ``None`` for a user without state. ``request_events`` is how many
    events of the request itself, which had not reached that state, were used besides. ``source``
    is ``model`` or ``popular``.

    Readers ignore fields they do not know: older exposures also carry ``past_version``.
    """

    request_id: str
    user_id: UserId
    time: int
    arm: str
    version: int
    epoch: int
    source: str
    items: list[ItemId]
    scores: list[float]
    state_partition: int | None = None
    state_offset: int | None = None
    request_events: int = 0


def encode_exposure(exposure: Exposure) -> bytes:
    """JSON, so that experimenters read the topic with any client."""
    return msgspec.json.encode(exposure)


def decode_exposure(raw: bytes) -> Exposure:
    """The inverse of :func:`encode_exposure`; raises ``msgspec.DecodeError`` on foreign bytes."""
    return msgspec.json.decode(raw, type=Exposure)
