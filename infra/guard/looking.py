"""One look at an experiment: what is known, and an arm that crosses a guardrail is closed."""

from __future__ import annotations

import time
from collections.abc import Sequence

from everfresh.adapters.kafka.definitions.writing import KafkaDefinitionLog
from everfresh.contracts.errors import ExperimentRefused
from everfresh.contracts.experiments.definition import Definition
from everfresh.contracts.experiments.metric import Metric
from everfresh.contracts.settings import Settings
from everfresh.experiments import lifecycle
from everfresh.experiments.lifecycle import Known
from everfresh.experiments.publishing import publish
from everfresh.infra.guard.reading import read_report


def look(settings: Settings, name: str, *, tell: bool = True) -> list[str]:
    """What is known, and what was done about it, in sentences; without ``tell`` alarms and what was
    done alone. Arms that a person has opened again stay open. ``ExperimentRefused`` where no such
    experiment was started."""
    from everfresh.experiments.verdict.words import words  # noqa: PLC0415  (needs an extra)

    report, _ = read_report(settings, name)
    said = words(report)
    lines = [*said.alarms, *(said.known if tell else ())]
    with KafkaDefinitionLog(settings.kafka.brokers, settings.kafka.topic_prefix) as log:
        definition = _defined(log, name)
        if definition.interleaved:
            raise ExperimentRefused(
                f"{name} is interleaved: its users see both tracks, so there is no arm to close; "
                f"`everfresh experiment report {name}` says which track they prefer"
            )
        reopened = {arm.name for arm in definition.arms if arm.reopened is not None}
        for arm in said.stop:
            if arm in reopened:
                lines.append(f"{arm} stays open, since a person has opened it again")
                continue
            alarm = next(each for each in said.alarms if each.startswith(f"{arm} "))
            why = alarm.removesuffix(" Close it.").removesuffix(".")
            lines.append(_close(log, name, arm, why))
    return lines


def is_stopped(settings: Settings, name: str) -> bool:
    """Whether it was; ``ExperimentRefused`` where no such experiment was started."""
    with KafkaDefinitionLog(settings.kafka.brokers, settings.kafka.topic_prefix) as log:
        return _defined(log, name).stopped is not None


def guarded(known: Known, metrics: Sequence[Metric]) -> list[str]:
    """The running experiments with an arm that a guardrail may close: not the control, not one that
    is closed, nor one that a person has opened again."""
    if all(metric.limit is None for metric in metrics):
        return []
    return sorted(
        name
        for name, (_, each) in known.items()
        if each.stopped is None
        and not each.holdout
        and not each.interleaved
        and any(arm.closed is None and arm.reopened is None for arm in each.arms[1:])
    )


def _close(log: KafkaDefinitionLog, name: str, arm: str, why: str) -> str:
    """Close it, and say so; where somebody else was at it just now, the next look tries again."""
    try:
        version, _ = publish(
            log, lambda known: lifecycle.close_arm(known, name, arm, why, now_ms())
        )
    except ExperimentRefused as error:
        return f"{arm} was not closed: {error}"
    return f"closed {arm} (definition version {version})"


def _defined(log: KafkaDefinitionLog, name: str) -> Definition:
    known = log.read()[1]
    if name not in known:
        raise ExperimentRefused(
            f"there is no experiment {name}; `everfresh experiment list` lists all"
        )
    return known[name][1]


def now_ms() -> int:
    """UTC milliseconds of this machine."""
    return time.time_ns() // 1_000_000
