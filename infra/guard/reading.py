"""The report on an experiment as of now: its new outcomes are counted, and the figures made."""

from __future__ import annotations

from typing import TYPE_CHECKING

from everfresh.adapters.kafka.definitions.reading import DefinitionReader
from everfresh.adapters.kafka.outcome_source import KafkaOutcomeSource
from everfresh.adapters.machine.private_home import close_home
from everfresh.contracts.errors import MissingDependency, SettingsError
from everfresh.contracts.experiments.definition import Definition, require_name
from everfresh.contracts.experiments.interleaving import INTERLEAVED
from everfresh.contracts.settings import Settings

if TYPE_CHECKING:
    from everfresh.experiments.verdict.report import Plan, Report


def read_report(
    settings: Settings, name: str, if_explored: float | None = None
) -> tuple[Report, list[str]]:
    """The report as of now, and what an operator should know of how it was made.

    ``ExperimentRefused`` for a name that no experiment can have; ``MissingDependency`` without the
    extra ``report``.
    """
    require_name("an experiment", name)
    try:
        from everfresh.experiments.verdict.counting import count  # noqa: PLC0415
        from everfresh.experiments.verdict.report import Limits, make_report  # noqa: PLC0415
    except ImportError as error:
        raise MissingDependency(
            f"reports on experiments need {error.name}; install it with pip install "
            "'everfresh[report]'"
        ) from None
    metrics = settings.verdict.parsed
    _require_known_types(settings)
    home = settings.home.resolve()
    brokers, prefix = settings.kafka.brokers, settings.kafka.topic_prefix
    remarks = [warning] if (warning := close_home(home)) else []
    with DefinitionReader(brokers, prefix) as reader:
        reader.read_to_end()
        known, left_out = reader.definitions().get(name), reader.left_out()
    most = settings.verdict.answers_per_user
    with KafkaOutcomeSource(brokers, prefix) as source:
        sums, anew = count(source, home / "experiments", name, metrics, most)
    limits = Limits(
        settings.verdict.error, settings.verdict.tuned_at, settings.verdict.effect, most
    )
    plan = _plan(None if known is None else known[1])
    shares = (0.0, 1.0) if if_explored is None else (0.0, if_explored, 1.0)
    report = make_report(name, sums, metrics, plan, limits, shares)
    if known is None:
        remarks.append(
            f"no definition of {name} is in the topic; its arms are those that were seen"
        )
    return report, [*remarks, *filter(None, (left_out, anew))]


def _plan(definition: Definition | None) -> Plan:
    from everfresh.experiments.verdict.report import Plan  # noqa: PLC0415  (needs an extra)

    if definition is None:
        return Plan()
    if definition.interleaved:
        arms = {INTERLEAVED: 1.0}
        return Plan(arms, {}, definition.started, definition.stopped)
    arms = {arm.name: arm.weight for arm in definition.arms}
    closed = {arm.name: arm.why for arm in definition.arms if arm.closed is not None}
    return Plan(arms, closed, definition.started, definition.stopped)


def _require_known_types(settings: Settings) -> None:
    """``SettingsError`` where a metric counts what no event can be."""
    actions = settings.events.actions
    for metric in settings.verdict.parsed:
        for kind in metric.types:
            if kind not in actions:
                raise SettingsError(
                    f"verdict.metrics: {metric.name} counts {kind!r}, which is none of "
                    f"events.actions ({', '.join(actions)}); correct one of them"
                )
