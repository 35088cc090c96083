"""The answer to one request: a function of the version, the user's history and what was asked."""

from __future__ import annotations

import msgspec

from contracts.event import ItemId, UserId
from contracts.exposure import Exposure
from contracts.ports import HistoryReader
from contracts.sequence import UserState
from serving.versions import Served

ARM = "default"
"""The only arm there is until users are mapped to tracks of versions."""

UNKNOWN_USER = "Nothing is known of this user yet, so these are the most popular items."
UNKNOWN_ITEMS = (
    "This version knows none of this user's items yet, so these are the most popular items."
)


class Request(msgspec.Struct, frozen=True):
    """What was asked. ``exclude_seen`` leaves out the items of the user's known history."""

    request_id: str
    user_id: UserId
    k: int
    exclude_seen: bool


class Answer(msgspec.Struct, frozen=True):
    """What is sent back, as JSON with these names.

    ``items`` and ``scores`` have the same length, at most ``k``, best first. ``version`` and
    ``epoch`` name the weights that scored every item (law 7). ``source`` is ``model``, or
    ``popular`` where no history could be used; then ``note`` says why, and else it is ``None``.
    ``state_partition`` and ``state_offset`` name the user's last event that was known, in the
    events topic; both are ``None`` for a user without state.
    """

    request_id: str
    user_id: UserId
    items: list[ItemId]
    scores: list[float]
    version: int
    epoch: int
    arm: str
    source: str
    note: str | None
    state_partition: int | None
    state_offset: int | None


def recommend(served: Served, reader: HistoryReader, request: Request) -> Answer:
    """Answer with ``served`` alone (law 7). Raises what ``reader`` raises: ``StateError``."""
    state = reader.read(request.user_id)
    history = [] if state is None else state.history
    seen = {entry.item for entry in history} if request.exclude_seen else set()
    vocabulary = served.recommender.vocabulary
    if any(entry.item in vocabulary for entry in history):
        items, scores = served.recommender.recommend(history, request.k, seen)
        return _answer(served, request, state, (items, scores), None)
    popular = vocabulary.popular(request.k, seen)
    note = UNKNOWN_USER if state is None else UNKNOWN_ITEMS
    return _answer(served, request, state, popular, note)


def exposure(answer: Answer, now_ms: int) -> Exposure:
    """What the log is told of an answer; ``now_ms`` is when it left."""
    return Exposure(
        request_id=answer.request_id,
        user_id=answer.user_id,
        time=now_ms,
        arm=answer.arm,
        version=answer.version,
        epoch=answer.epoch,
        source=answer.source,
        items=answer.items,
        scores=answer.scores,
        state_partition=answer.state_partition,
        state_offset=answer.state_offset,
    )


def _answer(
    served: Served,
    request: Request,
    state: UserState | None,
    ranked: tuple[list[ItemId], list[float]],
    note: str | None,
) -> Answer:
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
        state_partition=None if state is None else state.partition,
        state_offset=None if state is None else state.offset,
    )
