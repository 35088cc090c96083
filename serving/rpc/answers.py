"""Answers as messages."""

from __future__ import annotations

from collections.abc import Iterable

from everfresh.contracts.event import ItemId
from everfresh.contracts.items.record import Value
from everfresh.contracts.items.rules import Scalar
from everfresh.serving.recommend import Answer
from everfresh.serving.requests import problems
from everfresh.serving.rpc import recommender_pb2 as pb


def answer_message(answer: Answer | None) -> pb.Answer:
    """``Problem`` where there is no version yet."""
    if answer is None:
        raise problems.no_version_yet()
    return pb.Answer(
        request_id=answer.request_id,
        user_id=_id_message(answer.user_id),
        items=_told_messages(answer),
        version=answer.version,
        epoch=answer.epoch,
        arm=answer.arm,
        source=answer.source,
        note=answer.note,
        state_partition=answer.state_partition,
        state_offset=answer.state_offset,
        request_events=answer.request_events,
        experiment=answer.experiment,
        track=answer.track,
        definition_version=answer.definition_version,
        probability=answer.probability,
        state_age_ms=answer.state_age_ms,
        items_offset=answer.items_offset,
        rules=answer.rules,
        pinned=answer.pinned,
        shortfall=answer.shortfall,
        teams=[
            pb.Team(
                arm=each.arm,
                track=each.track,
                version=each.version,
                epoch=each.epoch,
                tail=each.tail,
            )
            for each in answer.teams
        ],
        team_of=answer.team_of,
        sticky=answer.sticky,
        explored=answer.explored,
        propensities=answer.propensities,
        explored_share=answer.explored_share,
        tail=answer.tail,
    )


def scored_messages(items: Iterable[ItemId], scores: Iterable[float | None]) -> list[pb.Scored]:
    """Each item with its score."""
    return [
        pb.Scored(item_id=_id_message(item), score=score)
        for item, score in zip(items, scores, strict=True)
    ]


def _told_messages(answer: Answer) -> list[pb.Scored]:
    items = scored_messages(answer.items, answer.scores)
    for message, attributes in zip(items, answer.attributes or (), strict=False):
        for name, value in attributes.items():
            message.attributes[name].CopyFrom(_values_message(value))
    return items


def _id_message(value: ItemId) -> pb.Id:
    return pb.Id(number=value) if isinstance(value, int) else pb.Id(text=value)


def _values_message(value: Value) -> pb.Values:
    """One value, or all of a list."""
    values = value if isinstance(value, list) else [value]
    return pb.Values(values=[_value_message(each) for each in values])


def _value_message(value: Scalar) -> pb.Value:
    if isinstance(value, bool):
        return pb.Value(logical=value)
    return pb.Value(text=value) if isinstance(value, str) else pb.Value(number=value)
