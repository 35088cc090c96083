"""The progress lines of ``python -m everfresh.streaming.replay``: a JSON object per line."""

from __future__ import annotations

import msgspec

from everfresh.streaming.replay.sizes import Needed

DUPLICATE = "duplicate_id"
"""The reason of a dead letter whose event was accepted before."""


class Outcome(msgspec.Struct, frozen=True):
    """What the stream worker made of the events of a replay, as far as it is known.

    ``taken`` of them have been read by it. ``rejected`` counts those that it did not accept, by
    reason. With ``settled`` all
    were taken and all rejections are known, so that the others were accepted.
    """

    taken: int = 0
    rejected: dict[str, int] = {}
    settled: bool = False


class ReplayProgress(msgspec.Struct, frozen=True):
    """Written several times a second by the replay, and once at its end; read by the CLI.

    ``sent`` of ``total`` events were handed to the producer; with ``done`` all of those that were
    sent are in the log. ``user`` is the user of the newest one, ``None`` before the first.
    ``outcome`` comes after ``done``, where the replay was asked for it.

    ``rows`` of a table have been read so far, ``rejected`` of them cannot become events. ``before``
    events are not sent because an earlier replay of the file did: ``sent`` and ``total`` are
    without them. ``needed`` is said by a backfill, once the file has been read.

    With ``done``, ``starts`` and ``ends`` say between which offsets all events of the file stand,
    by partition. They are empty where an earlier release has sent them.
    """

    sent: int
    total: int
    seconds: float
    user: int | str | None
    done: bool = False
    outcome: Outcome | None = None
    rows: int = 0
    rejected: int = 0
    before: int = 0
    needed: Needed | None = None
    starts: dict[int, int] = {}
    ends: dict[int, int] = {}


_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(ReplayProgress)


def encode_progress(progress: ReplayProgress) -> bytes:
    """One line, with its end."""
    return _ENCODER.encode(progress) + b"\n"


def decode_progress(line: bytes) -> ReplayProgress | None:
    """``None`` for a line that is something else."""
    try:
        return _DECODER.decode(line)
    except msgspec.DecodeError:
        return None
