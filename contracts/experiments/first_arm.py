"""The first arm that a user was shown: what keeps users of a sticky experiment where they are.

The stream worker folds it from exposures into the state of the user's partition, in the write batch
of the exposures' offset (law 2). Replicas read it there. A row is msgpack, and holds the newest
:data:`MOST` experiments in which the user was shown an arm.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import msgspec

from everfresh.contracts.event import UserId
from everfresh.contracts.sequence import encode_id

FIRST_ARM_PREFIX = b"A"
MOST = 20
"""Experiments of one user; the oldest is forgotten for a newer one."""


class FirstArm(msgspec.Struct, frozen=True, array_like=True):
    """The arm of the user's first exposure in a sticky experiment, with the definition that gave it
    and its share, as that exposure names them."""

    experiment: str
    arm: str
    definition_version: int | None = None
    probability: float | None = None


FirstArms = Callable[[UserId], Mapping[str, FirstArm] | None]
"""Those of a user, by experiment; ``None`` where they are not known here. It raises nothing."""

_ENCODE = msgspec.msgpack.Encoder().encode
_DECODE = msgspec.msgpack.Decoder(list[FirstArm]).decode


def first_arms_key(user: UserId) -> bytes:
    """The key of a user's row."""
    return FIRST_ARM_PREFIX + encode_id(user)


def encode_first_arms(arms: Sequence[FirstArm]) -> bytes:
    """A row; the oldest first."""
    return _ENCODE(arms[-MOST:])


def decode_first_arms(raw: bytes | None) -> list[FirstArm]:
    """The inverse; none where there is no row. ``msgspec.MsgspecError`` on foreign bytes."""
    return [] if raw is None else _DECODE(raw)
