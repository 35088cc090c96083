"""The Grafana dashboards: every query names what is offered, every panel says what it shows."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.infra.observability.expressions import Offered, wrong_names

FOLDER = Path(__file__).parents[3] / "infra" / "charts" / "everfresh" / "dashboards"
RUNBOOK = Path(__file__).parents[3] / "docs" / "runbook.md"
# Grafana puts a value in place of these before it asks Prometheus.
VARIABLES = {"$__rate_interval": "5m", "$job": ".*"}

dashboard = pytest.mark.parametrize(
    "dashboard",
    [json.loads(file.read_text()) for file in sorted(FOLDER.glob("*.json"))],
    ids=lambda board: str(board["uid"]),
)


def panels(board: dict[str, Any]) -> list[dict[str, Any]]:
    return [panel for panel in board["panels"] if panel["type"] != "row"]


def expressions(board: dict[str, Any]) -> list[str]:
    texts = [target["expr"] for panel in panels(board) for target in panel["targets"]]
    texts += [
        re.fullmatch(r"label_values\((.+), \w+\)", variable["definition"])[1]  # type: ignore[index]
        for variable in board["templating"]["list"]
        if variable["type"] == "query"
    ]
    for name, value in VARIABLES.items():
        texts = [text.replace(name, value) for text in texts]
    return texts


@dashboard
def test_queries_parse_and_name_only_metrics_and_labels_that_are_offered(
    dashboard: dict[str, Any], offered: Offered
) -> None:
    texts = expressions(dashboard)
    assert len(texts) > 20
    assert not any("$" in text for text in texts)
    assert [wrong for text in texts for wrong in wrong_names(text, offered)] == []


@dashboard
def test_a_legend_names_labels_that_the_query_keeps(dashboard: dict[str, Any]) -> None:
    for panel in panels(dashboard):
        for target in panel["targets"]:
            for label in re.findall(r"\{\{(\w+)}}", target["legendFormat"]):
                kept = re.findall(r"by \(([^)]*)\)", target["expr"])
                assert any(label in names.split(", ") for names in kept), panel["title"]


@dashboard
def test_a_panel_has_a_title_of_its_own_and_says_what_it_shows(dashboard: dict[str, Any]) -> None:
    titles = [(panel["type"], panel["title"]) for panel in panels(dashboard)]
    assert len(set(titles)) == len(titles)
    for panel in panels(dashboard):
        assert panel["description"].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(set(ids)) == len(ids)


@dashboard
def test_panels_lie_beside_each_other(dashboard: dict[str, Any]) -> None:
    for one, other in itertools.combinations(dashboard["panels"], 2):
        a, b = one["gridPos"], other["gridPos"]
        apart = a["x"] + a["w"] <= b["x"] or b["x"] + b["w"] <= a["x"]
        apart |= a["y"] + a["h"] <= b["y"] or b["y"] + b["h"] <= a["y"]
        assert apart, (one["title"], other["title"])
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in panels(dashboard))


@dashboard
def test_it_asks_the_source_and_the_loop_that_were_chosen(dashboard: dict[str, Any]) -> None:
    for panel in panels(dashboard):
        assert panel["datasource"]["uid"] == "${datasource}"
        for target in panel["targets"]:
            selectors = re.findall(r"(?:everfresh|process)_\w+\{([^}]*)\}", target["expr"])
            assert selectors, panel["title"]
            assert all('job=~"$job"' in selector for selector in selectors), panel["title"]


def test_panels_that_the_runbook_names_are_there() -> None:
    titles = {
        panel["title"]
        for file in FOLDER.glob("*.json")
        for panel in panels(json.loads(file.read_text()))
    }
    looked_at = re.findall(r"^\*\*Look at\.\*\*.*$", RUNBOOK.read_text(), re.M)
    named = {
        name for line in looked_at for name in re.findall(r"(?<!\*)\*([A-Z][^*]+)\*(?!\*)", line)
    }
    assert len(named) > 10
    assert named <= titles
