"""The answer to one request: a function of the version, the user's history and the request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import msgspec
import numpy as np

from everfresh.contracts.event import ItemId, UserId
from everfresh.contracts.experiments.assignment import NO_EXPERIMENT, Assignment
from everfresh.contracts.experiments.definition import DEFAULT
from everfresh.contracts.experiments.interleaving import Team
from everfresh.contracts.items.record import Value
from everfresh.contracts.items.rules import Filter, Rules, name_of
from everfresh.contracts.ports import Clock
from everfresh.contracts.sequence import Interaction
from everfresh.model.inference.retrieval import (
    Query,
    Ranked,
    best_items,
    ranks_all,
    rows_of,
    score_items,
    similar_items,
    stranger,
)
from everfresh.model.vocabulary.sightings import ItemRows
from everfresh.serving.history.reader import CachedHistoryReader, UserHistory
from everfresh.serving.items.answer_rows import AnswerRows
from everfresh.serving.items.catalogue import Catalogue
from everfresh.serving.items.ruled import Ruled, Wanted, ranks_few, ruled_items
from everfresh.serving.shared_pass import Steps
from everfresh.serving.versions.holder import LoadedVersion

UNKNOWN_USER = "Nothing is known of this user yet, so these are the items that are popular now."
UNKNOWN_ITEMS = (
    "This version knows none of this user's items yet, so these are the items that are popular now."
)
_NO_ROWS: ItemRows = np.zeros(0, dtype=np.int64)


class RecommendRequest(msgspec.Struct, frozen=True):
    """What to recommend. ``exclude_seen`` leaves out the items of the user's known history.

    ``exclude`` names further items to leave out; ``allow``, where given, the only candidates.
    ``events`` are the user's newest ones, oldest first, which may not have reached the log yet.
    ``arm`` is the experiment's arm that the request names, where requests may.
    ``min_state_offset`` is the offset of an event that the user's state must hold. ``rules`` are
    the request's and those of the settings. ``attributes`` are to be told of each item.
    ``assigned`` is the arm, where it had to be asked for before.
    """

    request_id: str
    user_id: UserId
    k: int
    exclude_seen: bool
    exclude: Sequence[ItemId] = ()
    allow: Sequence[ItemId] | None = None
    events: Sequence[Interaction] = ()
    arm: str | None = None
    min_state_offset: int | None = None
    rules: Rules | None = None
    attributes: Sequence[str] = ()
    assigned: Assignment | None = None


class ScoreRequest(msgspec.Struct, frozen=True):
    """Which items to score for a user; the rest as in :class:`RecommendRequest`."""

    request_id: str
    user_id: UserId
    items: Sequence[ItemId]
    events: Sequence[Interaction] = ()
    arm: str | None = None
    min_state_offset: int | None = None
    assigned: Assignment | None = None


class SimilarRequest(msgspec.Struct, frozen=True):
    """To which item the ``k`` nearest are wanted, and what they must be."""

    item_id: ItemId
    k: int
    filter: Filter | None = None


class Shelf(msgspec.Struct, frozen=True):
    """The catalogue, and the clock by which its items are published and expire."""

    catalogue: Catalogue
    clock: Clock


class Answer(msgspec.Struct, frozen=True):
    """What is sent back to a request for items or scores, as JSON with these names.

    ``items`` and ``scores`` have the same length: the best first, at most ``k``, for a
    recommendation; as they were given for scores, with ``null`` for an item that the version does
    not know. ``version`` and ``epoch`` name the weights that scored every item (law 7).
    ``source`` is ``model``, or ``popular`` where no history could be used; then ``note`` says why,
    and else it is ``None``. ``state_partition`` and ``state_offset`` name the user's last event
    that was known, in the events topic; both are ``None`` for a user without state.
    ``request_events`` is how many of the request's own events were used besides. ``state_age_ms``
    is there where the state is stale (``serving.stale_after_s``): since so long it may lack events.
    ``tail`` names the events after the version's window that its trends count, as in ``Exposure``.
    ``arm``, ``track``, ``experiment``, ``definition_version`` and ``probability`` say for which arm
    of which experiment it was made, as in ``Exposure``.

    ``items_offset`` names the catalogue's last record that was known, as in ``Exposure``, and
    ``rules`` the rules. ``pinned`` are the places, from 0, that rules have filled. ``shortfall``
    says why there are fewer than ``k`` items, where rules or the catalogue may have to do with it.
    ``attributes`` has for each item those that were asked for and that it has; ``None`` where none
    were.

    Where two tracks made it together, ``teams`` are these, and ``team_of`` says for each place
    which of them brought its item, as in ``Exposure``; both are empty in every other answer.
    ``sticky`` says that the user keeps the arm. ``explored``, ``propensities`` and
    ``explored_share`` are those of ``Exposure``.
    """

    request_id: str
    user_id: UserId
    items: Sequence[ItemId]
    scores: Sequence[float | None]
    version: int
    epoch: int
    arm: str
    source: str
    note: str | None
    state_partition: int | None
    state_offset: int | None
    request_events: int = 0
    experiment: str | None = None
    track: str = DEFAULT
    definition_version: int | None = None
    probability: float | None = None
    state_age_ms: int | None = None
    items_offset: int | None = None
    rules: str | None = None
    pinned: list[int] = []
    teams: list[Team] = []
    team_of: list[int] = []
    sticky: bool = False
    explored: list[int] = []
    propensities: list[float] = []
    explored_share: float | None = None
    shortfall: str | None = None
    attributes: Sequence[Mapping[str, Value]] | None = None
    tail: str | None = None


class SimilarAnswer(msgspec.Struct, frozen=True):
    """Items nearest to ``item_id``, best first, with the cosines of their embeddings."""

    item_id: ItemId
    items: list[ItemId]
    scores: list[float]
    version: int
    epoch: int


def recommend_items(
    loaded: LoadedVersion,
    histories: CachedHistoryReader,
    request: RecommendRequest,
    assignment: Assignment = NO_EXPERIMENT,
    shelf: Shelf | None = None,
) -> Steps[Answer]:
    """Answer with ``loaded``, for ``assignment``, from one state of the ``shelf`` (law 7).

    Raises what ``histories`` raises: ``StateError``.
    """
    history = histories.read(loaded, request.user_id, request.events)
    query = yield from query_for(loaded, history, request, shelf)
    if shelf is not None and obeys_catalogue(request, shelf):
        wanted = wanted_of(loaded, history, request)
        ruled = ruled_items(shelf.catalogue, loaded.recommender, query, wanted, shelf.clock())
        return answer_of(loaded, request, history, (), (), assignment, ruled)
    ranked = ranked_items(loaded, history, query, request)
    return answer_of(loaded, request, history, *ranked, assignment)


def obeys_catalogue(request: RecommendRequest, shelf: Shelf) -> bool:
    """Whether the answer has to do with the catalogue at all."""
    return request.rules is not None or bool(request.attributes) or shelf.catalogue.in_use


def wanted_of(loaded: LoadedVersion, history: UserHistory, request: RecommendRequest) -> Wanted:
    """What the request asks of the catalogue, as the version numbers items."""
    barred, unknown = _barred(loaded, history, request), partial(_barred_items, request, history)
    return Wanted(request.k, barred, request.allow, request.rules, request.attributes, unknown)


def ranked_items(
    loaded: LoadedVersion, history: UserHistory, query: Query, request: RecommendRequest
) -> Ranked:
    """The best items, where there is no catalogue to obey."""
    allow, vocabulary = request.allow, loaded.recommender.vocabulary
    allowed = None if allow is None else rows_of(allow, vocabulary)
    barred = _barred(loaded, history, request)
    return best_items(loaded.recommender, query, request.k, barred, allowed)


def _barred(loaded: LoadedVersion, history: UserHistory, request: RecommendRequest) -> ItemRows:
    barred = history.rows if request.exclude_seen else _NO_ROWS
    if request.exclude:
        barred = np.concatenate([barred, rows_of(request.exclude, loaded.recommender.vocabulary)])
    return barred


def score_candidates(
    loaded: LoadedVersion,
    histories: CachedHistoryReader,
    request: ScoreRequest,
    assignment: Assignment = NO_EXPERIMENT,
    shelf: Shelf | None = None,
) -> Answer:
    """Scores of the items, in their order; as :func:`recommend_items` otherwise. An item that may
    not be shown now has none."""
    history = histories.read(loaded, request.user_id, request.events)
    query = query_of(loaded, history)
    if shelf is None or not shelf.catalogue.in_use:
        scores = score_items(loaded.recommender, query, request.items)
    else:
        with shelf.catalogue.reading(loaded.recommender, shelf.clock()) as view:
            known = AnswerRows(loaded.recommender, view)
            scores = known.scores_of_items(query, request.items)
            shown = shelf.catalogue.may_show(request.items)
        scores = [score if may else None for score, may in zip(scores, shown, strict=True)]
    return answer_of(loaded, request, history, request.items, scores, assignment)


def nearest_items(
    loaded: LoadedVersion, request: SimilarRequest, shelf: Shelf | None = None
) -> SimilarAnswer | None:
    """The nearest items that may be shown; ``None`` where the version does not know the item."""
    if shelf is not None and (shelf.catalogue.in_use or request.filter is not None):
        with shelf.catalogue.reading(loaded.recommender, shelf.clock()) as view:
            closed, _ = view.closed(request.filter)
            ranked = similar_items(loaded.recommender, request.item_id, request.k, closed)
    else:
        ranked = similar_items(loaded.recommender, request.item_id, request.k)
    if ranked is None:
        return None
    return SimilarAnswer(request.item_id, *ranked, loaded.version, loaded.epoch)


def _barred_items(request: RecommendRequest, history: UserHistory) -> list[ItemId]:
    # The others are barred by their rows: naming them all takes long.
    seen = history.named() if request.exclude_seen and not history.rows.all() else []
    return [*seen, *request.exclude]


def query_of(loaded: LoadedVersion, history: UserHistory) -> Query:
    """A user all of whose items are unknown is a stranger."""
    trends = None if history.trending is None else history.trending.table
    if history.vector is None:
        return stranger(loaded.recommender, trends)
    return Query(history.vector, history.rows, history.at, trends)


def query_for(
    loaded: LoadedVersion,
    history: UserHistory,
    request: RecommendRequest,
    shelf: Shelf | None = None,
) -> Steps[Query]:
    """The same for a ranking, with the products where it is likely to need them for all items."""
    query, rules, recommender = query_of(loaded, history), request.rules, loaded.recommender
    narrow = request.allow is not None or (rules is not None and (rules.filter or rules.pins))
    if narrow or not ranks_all(recommender, request.k):
        return query
    if shelf is not None and ranks_few(shelf.catalogue, recommender):
        return query
    product = yield recommender, query.user
    return query if product is None else msgspec.structs.replace(query, product=product)


def answer_of(
    loaded: LoadedVersion,
    request: RecommendRequest | ScoreRequest,
    history: UserHistory,
    items: Sequence[ItemId],
    scores: Sequence[float | None],
    assignment: Assignment,
    ruled: Ruled | None = None,
) -> Answer:
    """What was chosen, and all that it was chosen from; ``items`` and ``scores`` are those of
    ``ruled``, where the catalogue was obeyed."""
    note = None
    if history.vector is None:
        note = (
            UNKNOWN_USER if history.offset is None and not history.request_events else UNKNOWN_ITEMS
        )
    answer = Answer(
        request_id=request.request_id,
        user_id=request.user_id,
        items=items if ruled is None else ruled.items,
        scores=scores if ruled is None else ruled.scores,
        version=loaded.version,
        epoch=loaded.epoch,
        arm=assignment.arm,
        source="model" if note is None else "popular",
        note=note,
        state_partition=history.partition,
        state_offset=history.offset,
        request_events=history.request_events,
        experiment=assignment.experiment,
        track=assignment.track,
        definition_version=assignment.definition_version,
        probability=assignment.probability,
        sticky=assignment.sticky,
        tail=None if history.trending is None else history.trending.name,
    )
    if ruled is None:
        return answer
    rules = getattr(request, "rules", None)
    return msgspec.structs.replace(
        answer,
        items_offset=ruled.offset,
        rules=None if rules is None else name_of(rules),
        pinned=ruled.pinned,
        shortfall=ruled.shortfall,
        attributes=ruled.attributes,
    )
