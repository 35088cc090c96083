"""The alert rules name metrics that the components really offer."""

from __future__ import annotations

import importlib
import re
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from everfresh.adapters.memory import ManualClock, MemoryReportSink
from everfresh.adapters.observe.metered_reports import MeteredReports
from everfresh.contracts.report import ComponentStatus
from everfresh.contracts.settings import Settings
from everfresh.streaming.metrics import WorkerMetrics
from everfresh.streaming.state.restore import RestoreFigures
from everfresh.streaming.state.snapshots import SnapshotFigures
from everfresh.trainer.scoring import reporting
from tests.serving.replica_in_memory import Bench, publish

RULES = Path(__file__).parents[2] / "examples" / "alerts.yml"
# Ray needs it, and leaves it without types.
yaml: Any = importlib.import_module("yaml")


def rules() -> list[dict[str, Any]]:
    return [
        rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]
    ]


def offered(url: str) -> set[str]:
    """Names of the samples at an address, and of counters that have none yet."""
    with urllib.request.urlopen(url, timeout=10) as answer:
        return set(re.findall(r"^(?:# TYPE )?(\w+)[{ ]", answer.read().decode(), re.MULTILINE))


def offered_with(status: ComponentStatus, settings: Settings) -> set[str]:
    """What a component offers with this status."""
    sink = MemoryReportSink()
    reports = MeteredReports(sink, status.kind, settings)
    try:
        reports.status(status)
        (passed_on,) = sink.statuses
        return offered(passed_on.figures["metrics"])
    finally:
        reports.close()


@pytest.fixture
def metrics(make_settings: Callable[..., Settings], tmp_path: Path) -> set[str]:
    settings = make_settings()
    worker = WorkerMetrics()
    worker.watch({}, RestoreFigures(), SnapshotFigures(), ManualClock())
    try:
        names = offered(worker.door.open(settings.metrics, "worker-0", tmp_path))
    finally:
        worker.door.close()
    names |= offered_with(reporting.status(reporting.Figures(), "running", 0), settings)
    bench = Bench()
    publish(bench.store, 1)
    bench.replica.start()
    bench.replica.stop()
    return names | offered_with(bench.replica.status(), settings)


def test_every_metric_that_a_rule_names_is_offered(metrics: set[str]) -> None:
    named = {name for rule in rules() for name in re.findall(r"everfresh_\w+", rule["expr"])}
    assert len(named) > 10
    assert named <= metrics


def test_every_alarm_of_the_trainer_has_a_rule() -> None:
    expressions = " ".join(rule["expr"] for rule in rules())
    figures = reporting.Figures()
    for name in figures.__struct_fields__:
        raised = {name: 1} if isinstance(getattr(figures, name), int) else {}
        if reporting.Figures(**raised).alarms:
            assert f"everfresh_trainer_{name}[" in expressions


def test_a_rule_has_a_name_of_its_own_and_says_what_happened() -> None:
    all_rules = rules()
    assert len({rule["alert"] for rule in all_rules}) == len(all_rules)
    assert all(rule["annotations"]["summary"].endswith(".") for rule in all_rules)
