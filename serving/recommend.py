"""The answer to one request: a function of the version, the user's history and the request."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from everfresh.contracts.event import ItemId, UserId
from everfresh.contracts.experiments.assignment import NO_EXPERIMENT, Assignment
from everfresh.contracts.experiments.definition import DEFAULT
from everfresh.contracts.exposure import Exposure
from everfresh.contracts.sequence import Interaction
from everfresh.model.inference.retrieval import (
    Query,
    Ranked,
    best_items,
    rows_of,
    score_items,
    similar_items,
    stranger,
)
from everfresh.model.vocabulary.sightings import ItemRows
from everfresh.serving.history.reader import CachedHistoryReader, UserHistory
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
    ``min_state_offset`` is the offset of an event that the user's state must hold.
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


class ScoreRequest(msgspec.Struct, frozen=True):
    """Which items to score for a user; the rest as in :class:`RecommendRequest`."""

    request_id: str
    user_id: UserId
    items: Sequence[ItemId]
    events: Sequence[Interaction] = ()
    arm: str | None = None
    min_state_offset: int | None = None


class SimilarRequest(msgspec.Struct, frozen=True):
    """To which item the ``k`` nearest are wanted."""

    item_id: ItemId
    k: int


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
    ``arm``, ``track``, ``experiment``, ``definition_version`` and ``probability`` say for which arm
    of which experiment it was made, as in ``Exposure``.
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
) -> Answer:
    """Answer with ``loaded`` and for ``assignment`` alone (law 7).

    Raises what ``histories`` raises: ``StateError``.
    """
    history = histories.read(loaded, request.user_id, request.events)
    recommender = loaded.recommender
    vocabulary = recommender.vocabulary
    barred = history.rows if request.exclude_seen else _NO_ROWS
    if request.exclude:
        barred = np.concatenate([barred, rows_of(request.exclude, vocabulary)])
    allowed = None if request.allow is None else rows_of(request.allow, vocabulary)
    ranked = best_items(recommender, _query(loaded, history), request.k, barred, allowed)
    return _answer(loaded, request, history, ranked, assignment)


def score_candidates(
    loaded: LoadedVersion,
    histories: CachedHistoryReader,
    request: ScoreRequest,
    assignment: Assignment = NO_EXPERIMENT,
) -> Answer:
    """Scores of the items, in their order; as :func:`recommend_items` otherwise."""
    history = histories.read(loaded, request.user_id, request.events)
    scores = score_items(loaded.recommender, _query(loaded, history), request.items)
    return _answer(loaded, request, history, (request.items, scores), assignment)


def nearest_items(loaded: LoadedVersion, request: SimilarRequest) -> SimilarAnswer | None:
    """The nearest items; ``None`` where the version does not know the item."""
    ranked = similar_items(loaded.recommender, request.item_id, request.k)
    if ranked is None:
        return None
    return SimilarAnswer(request.item_id, *ranked, loaded.version, loaded.epoch)


def exposure_of(answer: Answer, now_ms: int) -> Exposure:
    """What the log is told of a recommendation; ``now_ms`` is when it left."""
    return Exposure(
        request_id=answer.request_id,
        user_id=answer.user_id,
        time=now_ms,
        arm=answer.arm,
        version=answer.version,
        epoch=answer.epoch,
        source=answer.source,
        items=list(answer.items),
        scores=[score for score in answer.scores if score is not None],
        state_partition=answer.state_partition,
        state_offset=answer.state_offset,
        request_events=answer.request_events,
        experiment=answer.experiment,
        track=answer.track,
        definition_version=answer.definition_version,
        probability=answer.probability,
    )


def _query(loaded: LoadedVersion, history: UserHistory) -> Query:
    """A user all of whose items are unknown is a stranger."""
    if history.vector is None:
        return stranger(loaded.recommender)
    return Query(history.vector, history.rows)


def _answer(
    loaded: LoadedVersion,
    request: RecommendRequest | ScoreRequest,
    history: UserHistory,
    ranked: Ranked | tuple[Sequence[ItemId], Sequence[float | None]],
    assignment: Assignment,
) -> Answer:
    note = None
    if history.vector is None:
        note = (
            UNKNOWN_USER if history.offset is None and not history.request_events else UNKNOWN_ITEMS
        )
    return Answer(
        request_id=request.request_id,
        user_id=request.user_id,
        items=ranked[0],
        scores=ranked[1],
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
    )
