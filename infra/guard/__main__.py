"""``python -m everfresh.infra.guard``: look at experiments' guardrails until SIGTERM or Ctrl-C.

`everfresh up` starts it where a metric of ``verdict.metrics`` is a guardrail. It may be killed at
any point: what it counts and what it writes is whole or not there.
"""

from __future__ import annotations

import signal
import threading
from functools import partial

from everfresh.adapters.kafka.definitions.reading import DefinitionReader
from everfresh.adapters.kafka.report_sink import KafkaReportSink
from everfresh.adapters.kafka.rights import GUARD, require_rights
from everfresh.adapters.observe.logs import configure_logging, run_main
from everfresh.adapters.observe.metered_reports import MeteredReports
from everfresh.adapters.observe.metrics import Metrics
from everfresh.adapters.observe.status_metrics import FigureMetric, counted
from everfresh.contracts.ports import ReportSink
from everfresh.contracts.settings import Settings, load_settings
from everfresh.experiments.lifecycle import Known
from everfresh.infra.guard.looking import look, now_ms
from everfresh.infra.guard.rounds import NAME, GuardRounds

FIGURES = (
    FigureMetric("guarded", "guarded_experiments", "Experiments that a guardrail may close."),
    FigureMetric("waiting", "waiting", "1 while guardrails cannot be looked at, else 0."),
    counted("looks", "looks", "Looks at guardrails of an experiment"),
)
_STATUS_S = 1.0
_CLOSE_S = 1.0


def main() -> None:
    """Run until a signal."""
    settings = load_settings()
    configure_logging(NAME, settings.home)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _end)
    sink = KafkaReportSink(settings.kafka.brokers, settings.kafka.topic_prefix, windows=False)
    reports = metered(sink, settings)
    rounds = guard_of(settings)
    ended = threading.Event()
    speaker = threading.Thread(target=_speak, args=(rounds, reports, ended), daemon=True)
    speaker.start()
    try:
        while True:
            rounds.round()
            ended.wait(settings.verdict.guard_every_s)
    finally:
        ended.set()
        speaker.join(_CLOSE_S)
        reports.status(rounds.status(now_ms(), "stopped"))
        reports.close()
        sink.close(_CLOSE_S)


def guard_of(settings: Settings) -> GuardRounds:
    """Its rounds on the cluster of the settings."""
    return GuardRounds(partial(_known, settings), partial(_look, settings), settings.verdict.parsed)


def metered(sink: ReportSink, settings: Settings) -> MeteredReports:
    """The sink, with the guard's metrics on an endpoint."""
    return MeteredReports(sink, Metrics(NAME), FIGURES, settings)


def _known(settings: Settings) -> Known:
    with DefinitionReader(settings.kafka.brokers, settings.kafka.topic_prefix) as reader:
        reader.read_to_end()
        return reader.definitions()


def _look(settings: Settings, name: str) -> list[str]:
    # Only once there is something to close: who tries no experiments needs no such rights.
    require_rights(GUARD, settings)
    return look(settings, name, tell=False)


def _speak(rounds: GuardRounds, reports: ReportSink, ended: threading.Event) -> None:
    while not ended.wait(_STATUS_S):
        reports.status(rounds.status(now_ms(), "running"))


def _end(number: int, frame: object) -> None:
    # Out of whatever goes on: a first count of many outcomes takes minutes.
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, signal.SIG_IGN)
    raise SystemExit


if __name__ == "__main__":
    run_main(main)
