"""Team draft: two rankings in one answer, so that each user compares them. Pure.

The source is Radlinski, Kurup and Joachims, "How does clickthrough data reflect retrieval quality?"
(CIKM 2008), section 5. In each round both teams put their best item that is not in the answer yet
into it, and a coin says who is first. So both teams have as many items (but one, where their number
is odd), at places that are as good on average, whatever the rankings are. If both rank alike, no
team has more clicks but by chance.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Annotated

import msgspec

from everfresh.contracts.event import ItemId

INTERLEAVED = "interleaved"
"""The arm of answers that two tracks make together."""
NO_TEAM = -1
"""Of a place that no team has filled: a rule has."""
FIRST, SECOND = 0, 1
_Int = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]


class Team(msgspec.Struct, frozen=True, omit_defaults=True):
    """One of the two that made an interleaved answer: an arm's name, its track, and the version
    that scored this team's items. ``tail`` is what that version counted besides, as in
    ``Exposure``."""

    arm: str
    track: str
    version: _Int
    epoch: _Int
    tail: str | None = None


class Picked(msgspec.Struct, frozen=True):
    """An item of the answer: which team brought it, and where that team had ranked it, from 0."""

    item: ItemId
    team: int
    rank: int


def team_draft(
    rankings: tuple[Sequence[ItemId], Sequence[ItemId]],
    k: int,
    coins: Iterable[bool],
    fits: Callable[[ItemId], bool] = lambda item: True,
) -> list[Picked]:
    """At most ``k`` items from both rankings (best first), in the order of the answer.

    One of ``coins`` is used for each round; true lets the second team begin. ``fits`` says whether
    an item may join those that were picked before it; one that does not fit is passed over. A team
    that has no item left lets the other go on alone.
    """
    picked: list[Picked] = []
    taken: set[ItemId] = set()
    at = [0, 0]

    def pick(team: int) -> bool:
        ranking = rankings[team]
        while at[team] < len(ranking):
            rank = at[team]
            item = ranking[rank]
            at[team] += 1
            if item not in taken and fits(item):
                taken.add(item)
                picked.append(Picked(item, team, rank))
                return True
        return False

    for second_begins in coins:
        order = (SECOND, FIRST) if second_begins else (FIRST, SECOND)
        went_on = False
        for team in order:
            if len(picked) < k:
                went_on |= pick(team)
        if len(picked) >= k or not went_on:
            break
    return picked
