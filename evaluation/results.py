"""What ``python -m everfresh.evaluation`` says on standard output, a JSON object per line."""

from __future__ import annotations

import msgspec


class GroupScore(msgspec.Struct, frozen=True):
    """Means over a group of targets, of which there are ``events``; none where there are none."""

    events: int
    scores: dict[str, float]


class WindowScore(msgspec.Struct, frozen=True, tag="window"):
    """One contender on one window, before it learnt it; written after it did.

    ``window`` counts from 0 and is one of ``windows``. ``scores`` and ``fresh`` map metric to its
    mean over the window's ``events`` targets and over the ``fresh_events`` among them whose item
    the window before had brought. Both are empty in window 0, which is learnt unseen, ``fresh`` in
    window 1 too, where that would be every known item. ``groups`` maps every group of
    ``trainer.scoring.target_groups`` to its means, in windows after 0. ``train_s`` is processor
    time of learning the window, ``tokens`` what it fed to the network.
    """

    contender: str
    window: int
    windows: int
    events: int
    fresh_events: int
    scores: dict[str, float]
    fresh: dict[str, float]
    train_s: float
    tokens: int
    groups: dict[str, GroupScore] = {}


class Margin(msgspec.Struct, frozen=True, tag="margin"):
    """A contender's mean over all scored events less that of ``over``, with its 95 % interval.

    The interval is a paired bootstrap over users: users are drawn, each with all of their events.
    """

    contender: str
    metric: str
    mean: float
    low: float
    high: float
    users: int
    over: str


class RowsRead(msgspec.Struct, frozen=True, tag="rows"):
    """How many rows of the file have been read, and how many of them were left out."""

    rows: int
    left_out: int = 0


class EventsCut(msgspec.Struct, frozen=True, tag="cut"):
    """How many of the file's events have been laid into windows so far."""

    events: int
    of: int


Preparation = RowsRead | EventsCut
ResultLine = WindowScore | Margin
_ENCODER = msgspec.json.Encoder()
_DECODER: msgspec.json.Decoder[ResultLine] = msgspec.json.Decoder(ResultLine)
_PREPARATIONS: msgspec.json.Decoder[Preparation] = msgspec.json.Decoder(Preparation)


def encode_line(line: ResultLine | Preparation) -> bytes:
    """One line, with its end."""
    return _ENCODER.encode(line) + b"\n"


def decode_preparation(raw: bytes | str) -> Preparation | None:
    """``None`` for a line that is something else."""
    try:
        return _PREPARATIONS.decode(raw)
    except msgspec.DecodeError:
        return None


def decode_line(raw: bytes | str) -> ResultLine | None:
    """``None`` for a line that is something else."""
    try:
        return _DECODER.decode(raw)
    except msgspec.DecodeError:
        return None
