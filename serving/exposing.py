"""What the log is told of an answer."""

from __future__ import annotations

from everfresh.contracts.exposure import Exposure
from everfresh.serving.recommend import Answer


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
        scores=[0.0 if score is None else score for score in answer.scores],
        state_partition=answer.state_partition,
        state_offset=answer.state_offset,
        request_events=answer.request_events,
        experiment=answer.experiment,
        track=answer.track,
        definition_version=answer.definition_version,
        probability=answer.probability,
        items_offset=answer.items_offset,
        rules=answer.rules,
        pinned=answer.pinned,
        tail=answer.tail,
        teams=answer.teams,
        team_of=answer.team_of,
        sticky=answer.sticky,
        explored=answer.explored,
        propensities=answer.propensities,
        explored_share=answer.explored_share,
    )
