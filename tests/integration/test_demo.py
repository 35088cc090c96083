"""The demo on real Kafka, RocksDB, Ray and HTTP: shortened, and stopped in the middle."""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path

import pytest

from tests.integration.command import Command, run

pytestmark = pytest.mark.integration

SCORES = {
    f"{metric}_{name}"
    for metric in ("hr10", "ndcg10")
    for name in ("live", "frozen", "popularity", "markov")
}
NAMED = SCORES | {
    *("events", "windows", "versions", "dead_letters"),
    *("freshness_p50_s", "freshness_p99_s", "failed_requests", "seconds"),
}


@pytest.mark.parametrize(("data", "action"), [("movielens", "rating"), ("drifting", "click")])
def test_the_demo_ends_with_its_report_and_leaves_nothing(
    data: str, action: str, tmp_path: Path
) -> None:
    # A client on a busy machine may take seconds to send what it asks.
    patient = {"EVERFRESH_SERVING__TIMEOUT_MS": "300000"}
    with Command(tmp_path, "demo", "--data", data, "--events", "4000", **patient) as demo:
        code = demo.finish()
        assert code == 0, demo.said()
        assert demo.left() == []
    report = json.loads((tmp_path / ".everfresh/demo/report.json").read_text())
    assert set(report) >= NAMED
    assert report["events"] == report["replayed"] == 4000
    assert report["dead_letters"] == 0
    assert report["failed_requests"] == 0
    assert report["requests"] > 0
    assert report["versions"] > 1
    assert all(0.0 <= report[name] <= 1.0 for name in SCORES)
    assert 0.0 < report["freshness_p50_s"] <= report["freshness_p99_s"]
    assert (tmp_path / ".everfresh/demo/plot.png").read_bytes().startswith(b"\x89PNG")
    assert f"before and after a {action} of item" in demo.said()
    assert ("hr10_ceiling" in report) == (data == "drifting")
    # Films are shown by their titles, and those that nobody has rated yet can be recommended.
    lists = demo.said().rpartition(f"before and after a {action} of item")[2]
    assert (re.search(r"\w \(\d+\)", lists) is not None) == (data == "movielens")


@pytest.mark.parametrize("words", ["✓ MovieLens 100K", "✓ Apache Kafka", "✓ Ray"])
def test_a_demo_stopped_while_starting_leaves_nothing(tmp_path: Path, words: str) -> None:
    with Command(tmp_path, "demo") as demo:
        demo.wait_for(words)
        demo.signal(signal.SIGINT)
        assert demo.finish() == 130, demo.said()
        assert demo.left() == []


def test_a_demo_that_was_killed_does_not_hinder_the_next(tmp_path: Path) -> None:
    with Command(tmp_path, "demo") as first:
        first.wait_for("events, ")
        first.signal(signal.SIGKILL)
        assert first.finish() != 0
    with Command(tmp_path, "demo") as second:
        second.wait_for("events, ")
        second.signal(signal.SIGINT)
        assert second.finish() == 130, second.said()
        assert second.left() == []
    code, said = run(tmp_path, "down", "--home", ".everfresh/demo")
    assert (code, "nothing is up" in said) == (0, True)
