"""All metrics follow Prometheus's conventions, and say in words what they count."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families

from everfresh.contracts.report import ComponentStatus
from everfresh.serving import metrics as replica_metrics
from everfresh.trainer import metrics as trainer_metrics
from tests.infra.observability.promtool import needs_promtool, promtool
from tests.infra.observability.scraped_metrics import (
    OF_REAL_ASSIGNERS,
    replica_status,
    trainer_status,
)

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "decisions" / "0031-metrics.md"

LABELS = {"contender", "metric", "stage", "reason", "result"}
LABELS |= {"interface", "route", "outcome", "code", "problem", "track"}
"""Each has a few values that the code names, or of tracks an operator. No user, item, version,
address or text; and none that a scrape target brings (``component``, ``kind``), which Prometheus
would rename."""


def families(scraped: dict[str, str]) -> Iterator[Metric]:
    for text in scraped.values():
        for family in text_string_to_metric_families(text):
            if family.name.startswith("everfresh_"):
                yield family


@needs_promtool
@pytest.mark.process
@pytest.mark.parametrize("kind", ["worker", "trainer", "replica", "bridge", "guard"])
def test_promtool_has_nothing_to_say_of_a_components_metrics(
    scraped: dict[str, str], kind: str
) -> None:
    assert promtool("check", "metrics", text=scraped[kind]) == (0, "")


def test_what_only_grows_is_a_counter_and_units_are_seconds_and_bytes(
    scraped: dict[str, str],
) -> None:
    kinds = {family.name.removeprefix("everfresh_"): family.type for family in families(scraped)}
    assert {kinds[name] for name in ("trainer_held_windows", "replica_version_swaps")} == {
        "counter"
    }
    assert kinds["replica_request_duration_seconds"] == "histogram"
    for name, kind in kinds.items():
        # The parser takes `_total` off a counter's name, and leaves it on anything else.
        assert not name.endswith(("_total", "_created", "_count")), name
        assert not re.search(r"_(ms|s|us|kb|mb|per)(_|$)", name), name
        assert kind != "unknown", name


def test_every_metric_says_in_a_sentence_what_it_is(scraped: dict[str, str]) -> None:
    for family in families(scraped):
        words = set(re.findall(r"[a-z]+", family.documentation.lower()))
        assert len(words - set(family.name.split("_"))) >= 3, family.documentation
        assert family.documentation.endswith("."), family.documentation
        for unit in ("seconds", "bytes"):
            assert (unit in family.name) <= (unit in words), family.documentation


def test_labels_have_few_values(scraped: dict[str, str]) -> None:
    for family in families(scraped):
        for sample in family.samples:
            assert set(sample.labels) - {"le"} <= LABELS, sample


@pytest.mark.parametrize(
    ("status", "offered", "elsewhere"),
    [
        (
            trainer_status(),
            trainer_metrics.FIGURES,
            {"hr10", "ndcg10", "events_per_s", "alarms", "processor_per_window_s"},
        ),
        (replica_status(), replica_metrics.FIGURES, {"requests", "failed"}),
    ],
    ids=lambda each: each.kind if isinstance(each, ComponentStatus) else "",
)
def test_every_figure_of_a_status_is_a_metric_or_in_one(
    status: ComponentStatus, offered: tuple[replica_metrics.FigureMetric, ...], elsewhere: set[str]
) -> None:
    numbers = {name for name, value in status.figures.items() if isinstance(value, (int, float))}
    if status.kind == "replica":
        numbers |= {f"experiments_{name}" for name in OF_REAL_ASSIGNERS}
        # Of a tail that is kept, and of a catalogue that is followed.
        numbers |= {"tail_events", "tail_missing"}
        numbers |= {"items", "items_cold", "items_read", "items_left_out"}
    assert numbers == {metric.figure for metric in offered} | elsewhere


def test_the_table_of_earlier_names_leads_to_metrics_that_are_offered(
    scraped: dict[str, str],
) -> None:
    _, table = PAGE.read_text().split("### From the earlier names")
    rows = re.findall(r"^\| `(everfresh_[^`]+)`.* \| (.+) \|$", table, re.MULTILINE)
    text = "\n".join(scraped.values())
    assert len(rows) > 30
    for old, new in rows:
        assert not re.search(rf"^{re.escape(old)}[ {{]", text, re.MULTILINE), old
        for name in re.findall(r"everfresh_\w+", new):
            assert re.search(rf"^{name}[ {{]", text, re.MULTILINE), name
