"""The answer that two tracks make together: both rank, and a team draft joins the rankings.

It costs two passes over the user's history and two rankings, and nothing for anybody else.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from everfresh.contracts.event import ItemId
from everfresh.contracts.experiments.assignment import Assignment
from everfresh.contracts.experiments.draws import coins
from everfresh.contracts.experiments.interleaving import NO_TEAM, Picked, Team, team_draft
from everfresh.contracts.items.record import Value
from everfresh.serving.history.reader import CachedHistoryReader, UserHistory
from everfresh.serving.items.room import Room
from everfresh.serving.items.ruled import Ruled, ruled_in
from everfresh.serving.items.table import ItemTable
from everfresh.serving.recommend import (
    Answer,
    RecommendRequest,
    Shelf,
    answer_of,
    obeys_catalogue,
    query_for,
    ranked_items,
    wanted_of,
)
from everfresh.serving.shared_pass import Steps
from everfresh.serving.versions.holder import LoadedVersion

_ATTEMPTS = 3


class Captured(msgspec.Struct, frozen=True):
    """A track as a request has captured it (law 7)."""

    loaded: LoadedVersion
    histories: CachedHistoryReader


def interleaved_items(
    sides: tuple[Captured, Captured],
    request: RecommendRequest,
    assignment: Assignment,
    shelf: Shelf | None = None,
) -> Steps[Answer]:
    """Answer with both, for ``assignment``; each item is by one version, which the answer names.

    Rules hold for the answer as a whole, but for the diversity of ``mmr_lambda``, which holds
    within each ranking. Raises what ``histories`` raises: ``StateError``.
    """
    first = sides[0]
    known = _histories(sides, request)
    queries = []
    for side, history in zip(sides, known, strict=True):
        queries.append((yield from query_for(side.loaded, history, request, shelf)))
    draw = coins(assignment.seed, request.user_id, request.request_id)
    if shelf is not None and obeys_catalogue(request, shelf):
        with shelf.catalogue.reading(first.loaded.recommender, shelf.clock()):
            ruled = tuple(
                ruled_in(
                    shelf.catalogue,
                    side.loaded.recommender,
                    query,
                    wanted_of(side.loaded, history, request),
                )
                for side, history, query in zip(sides, known, queries, strict=True)
            )
            table = shelf.catalogue.table
            joined = _joined((ruled[0], ruled[1]), request, draw, table)
        made = answer_of(first.loaded, request, known[0], (), (), assignment, joined.ruled)
    else:
        lists = [
            ranked_items(side.loaded, history, query, request)
            for side, history, query in zip(sides, known, queries, strict=True)
        ]
        picked = team_draft((lists[0][0], lists[1][0]), request.k, draw)
        joined = _Joined(
            Ruled(
                [each.item for each in picked],
                [lists[each.team][1][each.rank] for each in picked],
                None,
                [],
                None,
                None,
            ),
            [each.team for each in picked],
        )
        ranked = joined.ruled.items, joined.ruled.scores
        made = answer_of(first.loaded, request, known[0], *ranked, assignment)
    if known[1].vector is not None:
        made = msgspec.structs.replace(made, source="model", note=None)
    teams = [
        Team(
            arm.name,
            arm.track,
            side.loaded.version,
            side.loaded.epoch,
            None if history.trending is None else history.trending.name,
        )
        for arm, side, history in zip(assignment.teams, sides, known, strict=True)
    ]
    return msgspec.structs.replace(made, teams=teams, team_of=joined.team_of)


class _Joined(msgspec.Struct, frozen=True):
    ruled: Ruled
    team_of: list[int]


def _histories(
    sides: tuple[Captured, Captured], request: RecommendRequest
) -> tuple[UserHistory, UserHistory]:
    """The user's history as each side reads it, of one state: it may move on in between."""
    first, second = (_history(side, request) for side in sides)
    for _ in range(_ATTEMPTS):
        if first.offset == second.offset:
            break
        first = _history(sides[0], request)
        if first.offset != second.offset:
            second = _history(sides[1], request)
    return first, second


def _history(side: Captured, request: RecommendRequest) -> UserHistory:
    return side.histories.read(side.loaded, request.user_id, request.events)


def _joined(
    ruled: tuple[Ruled, Ruled],
    request: RecommendRequest,
    draw: Iterator[bool],
    table: ItemTable,
) -> _Joined:
    """The draft of two rankings that obey the rules; the pins, which both have, at their places."""
    first = ruled[0]
    pinned = [(at, first.items[at], first.scores[at]) for at in first.pinned]
    open_places = [
        [at for at in range(len(each.items)) if at not in set(each.pinned)] for each in ruled
    ]
    rankings = [
        [each.items[at] for at in places] for each, places in zip(ruled, open_places, strict=True)
    ]
    room = Room(request.rules, table)
    for _, item, _ in pinned:
        room.add(item)
    number = request.k - len(pinned)
    picked = team_draft((rankings[0], rankings[1]), number, draw, room.fits) if number else []
    items: list[ItemId] = [each.item for each in picked]
    scores = [ruled[each.team].scores[open_places[each.team][each.rank]] for each in picked]
    team_of = [each.team for each in picked]
    told = None if first.attributes is None else _told(ruled, picked, open_places)
    places: list[int] = []
    for at, item, score in pinned:
        place = min(at, len(items))
        items.insert(place, item)
        scores.insert(place, score)
        team_of.insert(place, NO_TEAM)
        if told is not None and first.attributes is not None:
            told.insert(place, first.attributes[at])
        places.append(place)
    shortfall = None
    if len(items) < request.k:
        shortfall = first.shortfall or (
            f"{len(items)} of {request.k} items: `at_most` leaves out the others of both rankings"
        )
    return _Joined(Ruled(items, scores, first.offset, places, shortfall, told), team_of)


def _told(
    ruled: tuple[Ruled, Ruled], picked: Sequence[Picked], open_places: Sequence[Sequence[int]]
) -> list[dict[str, Value]]:
    told = []
    for each in picked:
        attributes = ruled[each.team].attributes
        told.append(attributes[open_places[each.team][each.rank]] if attributes else {})
    return told
