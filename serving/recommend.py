"""The answer to one request: a function of the version, the user's past and what was asked."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from everfresh.contracts.event import ItemId, UserId
from everfresh.contracts.exposure import Exposure
from everfresh.contracts.sequence import Interaction
from everfresh.model.inference.retrieval import (
    Ranked,
    Rows,
    best_items,
    popular_items,
    popularity,
    rows_of,
    score_items,
    similar_items,
)
from everfresh.serving.history.history import Past, PastReader
from everfresh.serving.versions.holder import Served

ARM = "default"
"""The only arm there is until users are mapped to tracks of versions."""

UNKNOWN_USER = "Nothing is known of this user yet, so these are the most popular items."
UNKNOWN_ITEMS = (
    "This version knows none of this user's items yet, so these are the most popular items."
)
_NONE: Rows = np.zeros(0, dtype=np.int64)


class Request(msgspec.Struct, frozen=True):
    """What to recommend. ``exclude_seen`` leaves out the items of the user's known history.

    ``exclude`` names further items to leave out; ``allow``, where given, the only candidates.
    ``events`` are the user's newest ones, oldest first, which may not have reached the log yet.
    """

    request_id: str
    user_id: UserId
    k: int
    exclude_seen: bool
    exclude: Sequence[ItemId] = ()
    allow: Sequence[ItemId] | None = None
    events: Sequence[Interaction] = ()


class ScoreRequest(msgspec.Struct, frozen=True):
    """Which items to score for a user; ``events`` as in :class:`Request`."""

    request_id: str
    user_id: UserId
    items: Sequence[ItemId]
    events: Sequence[Interaction] = ()


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
    ``request_events`` is how many of the request's own events were used besides.
    ``past_version`` is ``None``, unless ``serving.cache_reuse_versions`` let an older version, this
    one, read part of the user's past.
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
    past_version: int | None = None


class SimilarAnswer(msgspec.Struct, frozen=True):
    """Items nearest to ``item_id``, best first, with the cosines of their embeddings."""

    item_id: ItemId
    items: list[ItemId]
    scores: list[float]
    version: int
    epoch: int


def recommend(served: Served, pasts: PastReader, request: Request) -> Answer:
    """Answer with ``served`` alone (law 7). Raises what ``pasts`` raises: ``StateError``."""
    past = pasts.read(served, request.user_id, request.events)
    recommender = served.recommender
    vocabulary = recommender.vocabulary
    barred = past.rows if request.exclude_seen else _NONE
    if request.exclude:
        barred = np.concatenate([barred, rows_of(request.exclude, vocabulary)])
    allowed = None if request.allow is None else rows_of(request.allow, vocabulary)
    if past.vector is None:
        ranked = popular_items(vocabulary, request.k, barred, allowed)
    else:
        ranked = best_items(recommender, past.vector, request.k, barred, allowed)
    return _answer(served, request, past, ranked)


def score(served: Served, pasts: PastReader, request: ScoreRequest) -> Answer:
    """Scores of the items, in their order; as :func:`recommend` otherwise."""
    past = pasts.read(served, request.user_id, request.events)
    if past.vector is None:
        scores = popularity(served.recommender.vocabulary, request.items)
    else:
        scores = score_items(served.recommender, past.vector, request.items)
    return _answer(served, request, past, (request.items, scores))


def similar(served: Served, request: SimilarRequest) -> SimilarAnswer | None:
    """The nearest items; ``None`` where the version does not know the item."""
    ranked = similar_items(served.recommender, request.item_id, request.k)
    if ranked is None:
        return None
    return SimilarAnswer(request.item_id, *ranked, served.version, served.epoch)


def exposure(answer: Answer, now_ms: int) -> Exposure:
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
        scores=[one for one in answer.scores if one is not None],
        state_partition=answer.state_partition,
        state_offset=answer.state_offset,
        request_events=answer.request_events,
        past_version=answer.past_version,
    )


def _answer(
    served: Served,
    request: Request | ScoreRequest,
    past: Past,
    ranked: Ranked | tuple[Sequence[ItemId], Sequence[float | None]],
) -> Answer:
    note = None
    if past.vector is None:
        note = UNKNOWN_USER if past.offset is None and not past.used else UNKNOWN_ITEMS
    return Answer(
        request_id=request.request_id,
        user_id=request.user_id,
        items=ranked[0],
        scores=ranked[1],
        version=served.version,
        epoch=served.epoch,
        arm=ARM,
        source="model" if note is None else "popular",
        note=note,
        state_partition=past.partition,
        state_offset=past.offset,
        request_events=past.used,
        past_version=None if past.version == served.version else past.version,
    )
