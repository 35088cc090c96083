"""The progress lines of ``python -m everfresh.streaming.replay``: a JSON object per line."""

from __future__ import annotations

import msgspec


class ReplayProgress(msgspec.Struct, frozen=True):
    """Written several times a second by the replay, and once at its end; read by the CLI.

    ``sent`` of ``total`` events were handed to the producer; with ``done`` all of those that were
    sent are in the log. ``user`` is the user of the newest one, ``None`` before the first.
    """

    sent: int
    total: int
    seconds: float
    user: int | str | None
    done: bool = False


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
