"""Decides which feedback belongs to which exposure, for one request of one user.

Feedback answers the exposure of its request that was appended within ``horizon`` of it, before or
after. Of several exposures of one request the first counts until two horizons have passed, so that
two which count are never both within reach. What comes between one and two horizons after the
exposure is late; feedback that no exposure is near to is unmatched.

Times are append times, and ``clock`` is how far both logs have been read: nothing that is still
unread was appended before it. A decision is made only once the clock has passed everything that
could change it, so it follows from the logs and not from the order in which they were read.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from everfresh.contracts.event import ItemId


class StoredExposure(msgspec.Struct, frozen=True, array_like=True):
    """An exposure: append time, offset, and its bytes until its outcome has been written."""

    at: int
    offset: int
    raw: bytes | None


class StoredFeedback(msgspec.Struct, frozen=True, array_like=True):
    """Feedback: append time, offset, and what the user did."""

    at: int
    offset: int
    time: int
    type: str
    item_id: ItemId
    value: float | None


class Matches(msgspec.Struct, frozen=True):
    """What is decided now (``joined``, ``late``, ``unmatched``) and what stays.

    ``exposures`` and ``feedback`` stay; ``due`` is the clock that must be passed before more can be
    decided, ``None`` where nothing stays.
    """

    joined: list[tuple[StoredExposure, list[StoredFeedback]]]
    late: list[StoredFeedback]
    unmatched: list[StoredFeedback]
    exposures: list[StoredExposure]
    feedback: list[StoredFeedback]
    due: int | None


def is_repeated(exposures: Iterable[StoredExposure], at: int, horizon: int) -> bool:
    """Whether an exposure appended at ``at`` repeats one of these, and so does not count."""
    return any(at - exposure.at <= 2 * horizon for exposure in exposures)


def match(
    exposures: list[StoredExposure], feedback: list[StoredFeedback], clock: int, horizon: int
) -> Matches:
    """Match one request's exposures and feedback, each in log order."""
    joined: list[tuple[StoredExposure, list[StoredFeedback]]] = []
    late: list[StoredFeedback] = []
    unmatched: list[StoredFeedback] = []
    staying: list[StoredFeedback] = []
    for exposure in exposures:
        if exposure.raw is not None and exposure.at + horizon < clock:
            answers = [each for each in feedback if _answers(each, exposure, horizon)]
            joined.append((exposure, answers))
    answered = {each.offset for _, answers in joined for each in answers}
    ended = {exposure.offset for exposure, _ in joined}
    still_open = [
        exposure
        for exposure in exposures
        if exposure.raw is not None and exposure.offset not in ended
    ]
    for each in feedback:
        if each.offset in answered:
            continue
        if each.at + horizon >= clock or any(
            _answers(each, exposure, horizon) for exposure in still_open
        ):
            staying.append(each)
        elif any(-horizon <= each.at - exposure.at <= 2 * horizon for exposure in exposures):
            late.append(each)
        else:
            unmatched.append(each)
    remaining = [
        msgspec.structs.replace(exposure, raw=None) if exposure.offset in ended else exposure
        for exposure in exposures
        if exposure.at + 3 * horizon >= clock
    ]
    due = _due(remaining, staying, clock, horizon)
    return Matches(joined, late, unmatched, remaining, staying, due)


def _answers(feedback: StoredFeedback, exposure: StoredExposure, horizon: int) -> bool:
    return abs(feedback.at - exposure.at) <= horizon


def _due(
    exposures: list[StoredExposure], feedback: list[StoredFeedback], clock: int, horizon: int
) -> int | None:
    """The next time at which something of these can be decided or forgotten."""
    ends = [exposure.at + (3 if exposure.raw is None else 1) * horizon for exposure in exposures]
    ends += [end for each in feedback if (end := each.at + horizon) >= clock]
    return min(ends, default=None)
