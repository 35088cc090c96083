"""The answer of an arm that explores: a ranking, some of whose places show candidates by chance."""

from __future__ import annotations

import msgspec
import numpy as np

from everfresh.contracts.event import ItemId
from everfresh.contracts.experiments.assignment import Assignment
from everfresh.contracts.experiments.exploration import Explore, explored
from everfresh.contracts.items.rules import Filter, Rules, merged
from everfresh.model.inference.retrieval import Query, rows_of
from everfresh.serving.history.reader import CachedHistoryReader, UserHistory
from everfresh.serving.items.room import Room
from everfresh.serving.items.ruled import Ruled, ruled_in
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

_FRESH_STEP_MS = 60_000
"""Freshness is judged by whole minutes: a filter that changes with each request is slow."""


def exploring_items(
    loaded: LoadedVersion,
    histories: CachedHistoryReader,
    request: RecommendRequest,
    assignment: Assignment,
    shelf: Shelf | None = None,
) -> Steps[Answer]:
    """As ``recommend_items``, with some places by chance; the answer says which, and by what
    probability each place shows what it shows. With a catalogue it costs one more ranking.

    Raises what ``histories`` raises: ``StateError``.
    """
    explore = assignment.explore
    assert explore is not None, "asked of arms that explore"
    history = histories.read(loaded, request.user_id, request.events)
    query = yield from query_for(loaded, history, request, shelf)
    if shelf is not None and (explore.fresh_s is not None or obeys_catalogue(request, shelf)):
        base, others = _by_rules(loaded, history, query, request, explore, shelf)
        answer = answer_of(loaded, request, history, (), (), assignment, base)
    else:
        k, more = request.k, msgspec.structs.replace(request, k=request.k + explore.top)
        items, scores = ranked_items(loaded, history, query, more)
        answer = answer_of(loaded, request, history, items[:k], scores[:k], assignment)
        others = Ruled(items[k:], list(scores[k:]), None, [], None, None)
    return _mixed(answer, others, explore, assignment.seed)


def _by_rules(
    loaded: LoadedVersion,
    history: UserHistory,
    query: Query,
    request: RecommendRequest,
    explore: Explore,
    shelf: Shelf,
) -> tuple[Ruled, Ruled]:
    """The answer and the candidates, by one state of the catalogue; any of these may stand in the
    answer beside all others of both, whatever is drawn."""
    recommender, now_ms = loaded.recommender, shelf.clock()
    wanted = wanted_of(loaded, history, request)
    rules = request.rules or Rules()
    if explore.fresh_s is not None:
        since = now_ms // _FRESH_STEP_MS * _FRESH_STEP_MS - 1000 * explore.fresh_s
        fresh = Rules(filter=Filter(attribute="published", at_least=since))
        rules = merged(rules, fresh) or rules
    with shelf.catalogue.reading(recommender, now_ms):
        base = ruled_in(shelf.catalogue, recommender, query, wanted)
        barred = np.concatenate([wanted.barred, rows_of(base.items, recommender.vocabulary)])
        more = msgspec.structs.replace(
            wanted,
            k=explore.top,
            barred=barred,
            barred_items=lambda: [*wanted.barred_items(), *base.items],
            rules=msgspec.structs.replace(rules, pins=None, mmr_lambda=None),
            explained=False,
        )
        others = ruled_in(shelf.catalogue, recommender, query, more)
        room = Room(rules, shelf.catalogue.table)
        for item in base.items:
            room.add(item)
        kept = [at for at, item in enumerate(others.items) if room.fits(item)]
    told = others.attributes
    return base, Ruled(
        [others.items[at] for at in kept],
        [others.scores[at] for at in kept],
        None,
        [],
        None,
        None if told is None else [told[at] for at in kept],
    )


def _mixed(answer: Answer, others: Ruled, explore: Explore, seed: str) -> Answer:
    chance = seed, answer.user_id, answer.request_id
    places = len(answer.items)
    drawn = explored(places, answer.pinned, len(others.items), explore.share, chance)
    items: list[ItemId] = list(answer.items)
    scores = list(answer.scores)
    told = None if answer.attributes is None else list(answer.attributes)
    changed = []
    for at, candidate in enumerate(drawn.candidate_of):
        if candidate is None:
            continue
        items[at], scores[at] = others.items[candidate], others.scores[candidate]
        if told is not None:
            told[at] = others.attributes[candidate] if others.attributes else {}
        changed.append(at)
    return msgspec.structs.replace(
        answer,
        items=items,
        scores=scores,
        attributes=told,
        explored=changed,
        propensities=drawn.propensities,
        explored_share=explore.share,
    )
