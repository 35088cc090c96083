"""``everfresh experiment watch``: closes arms that cross a guardrail, until Ctrl-C."""

from __future__ import annotations

import time

from everfresh.adapters.kafka.definitions.writing import KafkaDefinitionLog
from everfresh.contracts.errors import ExperimentRefused, StateLocked, Unreachable
from everfresh.contracts.experiments.definition import Definition
from everfresh.contracts.settings import Settings
from everfresh.experiments import lifecycle
from everfresh.experiments.publishing import publish
from everfresh.infra.cli.commands.experiment.report import read_report
from everfresh.infra.cli.running import with_brokers
from everfresh.infra.cli.terminal import Terminal, styled
from everfresh.infra.cli.views.text import utc_time


def run_watch(settings: Settings, name: str, every_s: float) -> None:
    """Look, act, wait, and again; ends by itself once the experiment is stopped."""
    console = Terminal()
    settings = with_brokers(settings)
    while True:
        try:
            for line in look(settings, name):
                console.print(styled((utc_time(_now_ms()), "dim"), f"  {line}"), soft_wrap=True)
        except (Unreachable, StateLocked) as error:  # a broker comes back, a report ends
            console.print(styled((f"{error}; trying again", "red")), soft_wrap=True)
        if _is_stopped(settings, name):
            console.print(f"{name} is stopped, so there is nothing left to watch")
            return
        time.sleep(every_s)


def look(settings: Settings, name: str) -> list[str]:
    """One look: what is known, and what was done about it. Arms that a person has opened again stay
    open. ``ExperimentRefused`` where no such experiment was started."""
    from everfresh.experiments.verdict.words import words  # noqa: PLC0415  (needs an extra)

    report, _ = read_report(settings, name)
    said = words(report)
    lines = [*said.alarms, *said.known]
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


def _close(log: KafkaDefinitionLog, name: str, arm: str, why: str) -> str:
    """Close it, and say so; where somebody else was at it just now, the next look tries again."""
    try:
        version, _ = publish(
            log, lambda known: lifecycle.close_arm(known, name, arm, why, _now_ms())
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


def _is_stopped(settings: Settings, name: str) -> bool:
    with KafkaDefinitionLog(settings.kafka.brokers, settings.kafka.topic_prefix) as log:
        return _defined(log, name).stopped is not None


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
