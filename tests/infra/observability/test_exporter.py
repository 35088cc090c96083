"""One answer holds the metrics of all processes of a run, told apart by their labels."""

from __future__ import annotations

import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from everfresh.adapters.machine.tcp_ports import free_ports
from everfresh.adapters.observe.metrics import Metrics
from everfresh.adapters.observe.scrape_targets import ScrapeTarget
from everfresh.contracts.settings import MetricsSettings, Settings
from everfresh.infra.exporter.gathering import GatheringCollector, ask
from tests.infra.observability.promtool import needs_promtool, promtool

ROOT = Path(__file__).parents[3]


def gathered(texts: dict[str, str]) -> str:
    """What a scrape gets where each ``component:kind`` offers such a text."""
    targets = [ScrapeTarget("127.0.0.1:1", *name.split(":", 1)) for name in texts]

    def offered(target: ScrapeTarget) -> str:
        text = texts[f"{target.component}:{target.kind}"]
        if text == "away":
            raise ConnectionRefusedError
        return text

    registry = CollectorRegistry()
    registry.register(GatheringCollector(lambda: targets, offered))
    return generate_latest(registry).decode()


def test_every_series_of_every_component_is_there_once_with_its_two_labels(
    scraped: dict[str, str],
) -> None:
    text = gathered({f"{kind}-0:{kind}": text for kind, text in scraped.items()})
    found = [
        (sample.name, sorted(sample.labels.items()), sample.value)
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if not family.name.startswith("everfresh_exporter_")
    ]
    wanted = [
        (
            sample.name,
            sorted({**sample.labels, "component": f"{kind}-0", "kind": kind}.items()),
            sample.value,
        )
        for kind, offered in scraped.items()
        for family in text_string_to_metric_families(offered)
        for sample in family.samples
    ]
    assert len(wanted) > 100
    assert sorted(map(repr, found)) == sorted(map(repr, wanted))
    assert text.count("# TYPE process_cpu_seconds_total counter") == 1


@needs_promtool
@pytest.mark.process
def test_promtool_has_nothing_to_say_of_what_is_gathered(scraped: dict[str, str]) -> None:
    text = gathered({f"{kind}-0:{kind}": text for kind, text in scraped.items()})
    assert promtool("check", "metrics", text=text) == (0, "")


def test_a_component_that_does_not_answer_or_offers_no_metrics_is_down() -> None:
    text = gathered({"worker-0:worker": "away", "a:replica": "<html>", "b:replica": "x 1\n"})
    up = {
        sample.labels["component"]: sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "everfresh_exporter_component_up"
    }
    assert up == {"worker-0": 0, "a": 0, "b": 1}
    assert 'x{component="b",kind="replica"} 1.0' in text


def test_what_is_no_address_cannot_be_asked() -> None:
    collector = GatheringCollector(lambda: [ScrapeTarget("nowhere", "a", "worker")], ask)
    (up,) = collector.collect()
    assert [sample.value for sample in up.samples] == [0]


@pytest.mark.process
def test_the_exporter_finds_what_opens_and_closes_while_it_runs(
    make_settings: Callable[..., Settings], tmp_path: Path
) -> None:
    home = make_settings().home
    [port] = free_ports(1)
    command = [sys.executable, "-m", "everfresh.infra.exporter", f"--port={port}"]
    environment = {"EVERFRESH_HOME": str(home), "PYTHONPATH": str(ROOT), "PATH": ""}
    with subprocess.Popen(
        command, env=environment, cwd=tmp_path, stdout=subprocess.PIPE, text=True
    ) as exporter:
        assert exporter.stdout is not None
        assert f"http://127.0.0.1:{port}/metrics" in exporter.stdout.readline()
        metrics = Metrics("worker")
        metrics.counter("applied_events", "Events.").inc(3)
        metrics.open(MetricsSettings(), "worker-0", home)
        series = 'everfresh_worker_applied_events_total{component="worker-0",kind="worker"} 3.0'
        assert series in answer_of(port)
        metrics.close()
        assert "worker-0" not in answer_of(port)
        exporter.send_signal(signal.SIGTERM)
        assert exporter.wait(240) == 0


@pytest.mark.process
def test_a_port_that_is_taken_is_one_line(tmp_path: Path) -> None:
    said = subprocess.run(
        [sys.executable, "-m", "everfresh.infra.exporter", "--port=70000"],
        env={"EVERFRESH_HOME": str(tmp_path), "PYTHONPATH": str(ROOT), "PATH": ""},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert said.returncode == 1
    assert said.stderr.startswith("error: no metrics on 127.0.0.1:70000: ")
    assert said.stderr.count("\n") == 1


def answer_of(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=240) as answer:
        return str(answer.read().decode())
