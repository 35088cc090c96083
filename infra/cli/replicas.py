"""Waits until the replicas of a run have read a topic as far as a command has written it."""

from __future__ import annotations

from everfresh.adapters.kafka.tail import RecordTail
from everfresh.contracts.report import ComponentStatus
from everfresh.contracts.settings import Settings
from everfresh.contracts.topics import STATUS

_WAIT_POLLS = 75
_POLL_MS = 200


def replicas_past(settings: Settings, figure: str, offset: int) -> int:
    """How many replicas have read the record at ``offset``, after 15 s at most.

    ``figure`` is what their status calls the offset after the last record that they have read.
    """
    newest: dict[str, ComponentStatus] = {}
    following = 0
    brokers, prefix = settings.kafka.brokers, settings.kafka.topic_prefix
    with RecordTail(brokers, prefix, [STATUS]) as tail:
        for _ in range(_WAIT_POLLS):
            for record in tail.poll(_POLL_MS):
                if isinstance(record, ComponentStatus) and record.kind == "replica":
                    newest[record.component] = record
            reached = [
                each.figures.get(figure) for each in newest.values() if each.state != "stopped"
            ]
            following = sum(isinstance(end, int) and end > offset for end in reached)
            if following >= settings.serving.replica_range.least:
                break
    return following
