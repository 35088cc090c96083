"""The metrics endpoint of a process, and the file by which scrapers find it."""

from __future__ import annotations

import json
import socket
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from everfresh.adapters.observe import scrape_server
from everfresh.adapters.observe.metrics import Metrics
from everfresh.adapters.observe.scrape_targets import read_targets, remove_targets
from everfresh.contracts.errors import Unreachable
from everfresh.contracts.settings import MetricsSettings


@pytest.fixture
def make_metrics() -> Iterator[Callable[[str], Metrics]]:
    made: list[Metrics] = []

    def make(kind: str) -> Metrics:
        made.append(Metrics(kind))
        return made[-1]

    yield make
    for metrics in made:
        metrics.close()


def scraped(url: str) -> list[str]:
    with urllib.request.urlopen(url, timeout=240) as answer:
        return str(answer.read().decode()).splitlines()


def test_what_was_taken_in_is_scraped(
    make_metrics: Callable[[str], Metrics], tmp_path: Path
) -> None:
    metrics, version = make_metrics("trainer"), [3.0]
    windows = metrics.counter("windows", "Windows.")
    letters = metrics.counter("dead_letters", "Letters.", ["reason"])
    sizes = metrics.histogram("batch_events", "Sizes.", buckets=(1, 10))
    metrics.reading("version", "Version.", lambda: version[0])
    metrics.reading("examples", "Examples.", lambda: 2 * version[0], grows=True)
    url = metrics.open(MetricsSettings(), "trainer", tmp_path)
    windows.inc(2)
    letters.labels("oversize").inc()
    sizes.observe(5)
    version[0] = 4.0
    lines = scraped(url)
    for line in (
        "# HELP everfresh_trainer_windows_total Windows.",
        "everfresh_trainer_windows_total 2.0",
        'everfresh_trainer_dead_letters_total{reason="oversize"} 1.0',
        'everfresh_trainer_batch_events_bucket{le="1.0"} 0.0',
        'everfresh_trainer_batch_events_bucket{le="10.0"} 1.0',
        "everfresh_trainer_version 4.0",
        "# TYPE everfresh_trainer_examples_total counter",
        "everfresh_trainer_examples_total 8.0",
    ):
        assert line in lines
    assert any(line.startswith("process_resident_memory_bytes ") for line in lines)
    assert not any("_created" in line for line in lines)


def test_it_listens_on_loopback_and_tells_prometheus_where(
    make_metrics: Callable[[str], Metrics], tmp_path: Path
) -> None:
    metrics = make_metrics("worker")
    url = metrics.open(MetricsSettings(), "worker-0", tmp_path)
    (record,) = (tmp_path / "run" / "metrics").iterdir()
    (group,) = json.loads(record.read_text())
    assert group["labels"] == {"component": "worker-0", "kind": "worker"}
    (target,) = group["targets"]
    assert url == f"http://{target}/metrics"
    assert target.startswith("127.0.0.1:")
    metrics.close()
    metrics.close()
    assert not record.exists()
    with pytest.raises(OSError, match="refused"):
        scraped(url)


def test_a_restarted_component_takes_the_place_of_the_killed_one(
    make_metrics: Callable[[str], Metrics], tmp_path: Path
) -> None:
    folder = tmp_path / "run" / "metrics"
    folder.mkdir(parents=True)
    (folder / "worker-0-99999999.json").write_text("[]")
    (folder / "replica-x-99999999.json").write_text("[]")
    make_metrics("worker").open(MetricsSettings(), "worker-0", tmp_path)
    assert len(list(folder.glob("worker-0-*.json"))) == 1
    assert (folder / "replica-x-99999999.json").exists()
    remove_targets(tmp_path)
    assert list(folder.iterdir()) == []


def test_the_target_of_a_killed_replica_goes_once_another_takes_its_place(
    make_metrics: Callable[[str], Metrics], tmp_path: Path
) -> None:
    folder = tmp_path / "run" / "metrics"
    first = make_metrics("replica")
    first.open(MetricsSettings(), "replica-x", tmp_path)
    (killed,) = folder.iterdir()
    killed.rename(folder / "replica-x-99999999.json")
    make_metrics("replica").open(MetricsSettings(), "replica-y", tmp_path)
    make_metrics("replica").open(MetricsSettings(), "replica-z", tmp_path)
    assert [target.component for target in read_targets(tmp_path)] == ["replica-y", "replica-z"]


def test_from_a_port_of_its_own_choice_each_takes_the_next_free_one(
    make_metrics: Callable[[str], Metrics], tmp_path: Path
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        url = make_metrics("worker").open(MetricsSettings(port=port), "worker-0", tmp_path)
        assert int(url.removesuffix("/metrics").rpartition(":")[2]) > port
    with socket.socket() as full:
        full.bind(("127.0.0.1", 65_535))
        full.listen()
        with pytest.raises(Unreachable, match=r"65535 to 65535 are all taken.*metrics\.port"):
            make_metrics("worker").open(MetricsSettings(port=65_535), "worker-1", tmp_path)


def test_switched_off_it_opens_nothing(
    make_metrics: Callable[[str], Metrics], tmp_path: Path
) -> None:
    metrics = make_metrics("worker")
    assert metrics.open(MetricsSettings(enabled=False), "worker-0", tmp_path) == ""
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("raw", [b"", b"GET /metrics HTTP/1.1\r\nx-a: "])
def test_a_scraper_that_asks_for_nothing_loses_its_connection(
    make_metrics: Callable[[str], Metrics],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    raw: bytes,
) -> None:
    monkeypatch.setattr(scrape_server, "CONNECTION_S", 0.2)
    url = make_metrics("trainer").open(MetricsSettings(), "trainer", tmp_path)
    at = urlsplit(url)
    with socket.create_connection((at.hostname or "", at.port or 0), timeout=240) as slow:
        slow.sendall(raw)
        assert scraped(url), "others are served meanwhile"
        assert slow.recv(1) == b""
