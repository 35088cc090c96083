"""Makes the outcome of an exposure: the exposure with the feedback that answers it."""

from __future__ import annotations

from collections.abc import Sequence

from everfresh.contracts.exposure import Exposure, decode_exposure
from everfresh.contracts.outcome import Feedback, Outcome, encode_outcome
from everfresh.contracts.topics import OUTCOMES
from everfresh.streaming.join.matching import StoredExposure, StoredFeedback
from everfresh.streaming.outbox.rows import OutboxRow
from everfresh.streaming.state.write_batch import WriteBatch

MAX_FEEDBACK = 1000
"""More feedback on one exposure is counted as ``surplus_feedback`` and left out of its outcome."""


def outcome_row(
    partition: int,
    horizon_ms: int,
    stored: StoredExposure,
    answers: Sequence[StoredFeedback],
    batch: WriteBatch,
) -> OutboxRow:
    """The outcome as a row for the outbox; what it holds is counted in ``batch.joins``."""
    exposure = decode_exposure(stored.raw)
    feedback = [_feedback(exposure, answer) for answer in answers[:MAX_FEEDBACK]]
    name = f"{partition}-{stored.offset}"
    batch.joins["outcomes"] += 1
    batch.joins["surplus_feedback"] += len(answers) - len(feedback)
    batch.joins["not_shown"] += sum(each.position is None for each in feedback)
    value = encode_outcome(Outcome(name, stored.at, horizon_ms, exposure, feedback))
    return OutboxRow(OUTCOMES.name, partition, name.encode(), value, [])


def _feedback(exposure: Exposure, answer: StoredFeedback) -> Feedback:
    item = answer.item_id
    position = exposure.items.index(item) if item in exposure.items else None
    return Feedback(
        answer.offset, answer.at, answer.time, answer.type, item, position, answer.value
    )
