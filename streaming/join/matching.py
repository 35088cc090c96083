"""Which feedback belongs to which exposure: the rule of the join, for one request of one user.

Feedback answers the exposure of its request that was appended within ``horizon`` of it, before or
after. Of several exposures of one request the first counts until two horizons have passed, so that
two which count are never both within reach. What comes between one and two horizons after the
exposure is late; feedback that no exposure is near to is unmatched.

Times are append times, and ``clock`` is how far both logs have been read: nothing that is still
unread was appended before it. A verdict is given only once the clock has passed everything that
could change it, so it follows from the logs and not from the order in which they were read.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from everfresh.contracts.event import ItemId


class Shown(msgspec.Struct, frozen=True, array_like=True):
    """An exposure: append time, offset, and its bytes until its outcome has been written."""

    at: int
    offset: int
    raw: bytes | None


class Heard(msgspec.Struct, frozen=True, array_like=True):
    """Feedback: append time, offset, and what the user did."""

    at: int
    offset: int
    time: int
    type: str
    item_id: ItemId
    value: float | None


class Verdict(msgspec.Struct, frozen=True):
    """What is decided now (``closed``, ``late``, ``unmatched``) and what stays.

    ``shown`` and ``heard`` stay; ``due`` is the clock that must be passed before more can be
    decided, ``None`` where nothing stays.
    """

    closed: list[tuple[Shown, list[Heard]]]
    late: list[Heard]
    unmatched: list[Heard]
    shown: list[Shown]
    heard: list[Heard]
    due: int | None


def repeats(shown: Iterable[Shown], at: int, horizon: int) -> bool:
    """Whether an exposure appended at ``at`` repeats one of ``shown``, and so does not count."""
    return any(at - one.at <= 2 * horizon for one in shown)


def judge(shown: list[Shown], heard: list[Heard], clock: int, horizon: int) -> Verdict:
    """The verdict on one request's exposures and feedback, each in log order."""
    closed: list[tuple[Shown, list[Heard]]] = []
    late: list[Heard] = []
    unmatched: list[Heard] = []
    stays: list[Heard] = []
    for one in shown:
        if one.raw is not None and one.at + horizon < clock:
            closed.append((one, [each for each in heard if _answers(each, one, horizon)]))
    taken = {each.offset for _, answers in closed for each in answers}
    ended = {one.offset for one, _ in closed}
    open_still = [one for one in shown if one.raw is not None and one.offset not in ended]
    for each in heard:
        if each.offset in taken:
            continue
        if each.at + horizon >= clock or any(_answers(each, one, horizon) for one in open_still):
            stays.append(each)
        elif any(-horizon <= each.at - one.at <= 2 * horizon for one in shown):
            late.append(each)
        else:
            unmatched.append(each)
    left = [
        msgspec.structs.replace(one, raw=None) if one.offset in ended else one
        for one in shown
        if one.at + 3 * horizon >= clock
    ]
    return Verdict(closed, late, unmatched, left, stays, _due(left, stays, clock, horizon))


def _answers(each: Heard, one: Shown, horizon: int) -> bool:
    return abs(each.at - one.at) <= horizon


def _due(shown: list[Shown], heard: list[Heard], clock: int, horizon: int) -> int | None:
    """The next time at which something of these can be decided or forgotten."""
    ends = [one.at + (3 if one.raw is None else 1) * horizon for one in shown]
    ends += [end for each in heard if (end := each.at + horizon) >= clock]
    return min(ends, default=None)
