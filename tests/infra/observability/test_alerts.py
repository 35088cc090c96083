"""The alert rules: each names what is offered, fires when it should, and has its runbook entry."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Any

import pytest

from everfresh.trainer.metrics import FIGURES
from everfresh.trainer.scoring import reporting
from tests.infra.observability.alert_cases import CASES, HEALTHY
from tests.infra.observability.expressions import TARGET, Offered, wrong_names
from tests.infra.observability.promtool import needs_promtool, promtool

ROOT = Path(__file__).parents[3]
RULES = ROOT / "infra" / "charts" / "everfresh" / "rules" / "alerts.yml"
RUNBOOK = ROOT / "docs" / "runbook.md"
# Ray needs it, and leaves it without types.
yaml: Any = importlib.import_module("yaml")


def rules() -> list[dict[str, Any]]:
    return [
        rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]
    ]


def names() -> list[str]:
    return [rule["alert"] for rule in rules()]


def test_rules_parse_and_name_only_metrics_and_labels_that_are_offered(offered: Offered) -> None:
    wrong = {rule["alert"]: wrong_names(rule["expr"], offered) for rule in rules()}
    assert len(wrong) > 20
    assert not {name: of_it for name, of_it in wrong.items() if of_it}


def test_the_words_of_a_rule_name_labels_that_its_series_have(offered: Offered) -> None:
    for rule in rules():
        series = re.findall(r"everfresh_\w+", rule["expr"])
        labels = set(TARGET).union(*(offered[name] for name in series))
        said = " ".join(rule["annotations"].values())
        assert set(re.findall(r"\$labels\.(\w+)", said)) <= labels, rule["alert"]


def test_every_alarm_of_the_trainer_has_a_rule() -> None:
    expressions = " ".join(rule["expr"] for rule in rules())
    figures = reporting.Figures()
    for name in figures.__struct_fields__:
        raised = {name: 1} if isinstance(getattr(figures, name), int) else {}
        if reporting.Figures(**raised).alarms:
            (metric,) = [each.name for each in FIGURES if each.figure == name]
            assert f"everfresh_trainer_{metric}_total[" in expressions


def test_a_rule_has_a_name_of_its_own_and_says_what_happened_and_how_bad_it_is() -> None:
    assert len(set(names())) == len(names())
    for rule in rules():
        assert rule["annotations"]["summary"].endswith("."), rule["alert"]
        assert rule["annotations"]["description"].endswith("."), rule["alert"]
        assert rule["labels"] in [{"severity": s} for s in ("critical", "warning", "info")]


def test_every_rule_leads_to_its_entry_in_the_runbook_and_every_entry_has_a_rule() -> None:
    for rule in rules():
        assert rule["annotations"]["runbook_url"] == f"docs/runbook.md#{rule['alert'].lower()}"
    entries = re.split(r"^### ", RUNBOOK.read_text(), flags=re.M)[1:]
    assert {entry.partition("\n")[0] for entry in entries} == set(names())
    for entry in entries:
        for part in ("**What it means.**", "**Look at.**", "**Do.**"):
            assert part in entry, entry.partition("\n")[0]


@needs_promtool
@pytest.mark.process
def test_promtool_accepts_the_alert_rules() -> None:
    code, said = promtool("check", "rules", str(RULES))
    assert code == 0, said
    assert f"{len(names())} rules found" in said


def test_every_rule_has_a_case_in_which_it_fires() -> None:
    assert {name for _, fires in CASES for name in fires} == set(names())
    assert any(not fires for _, fires in CASES)


@needs_promtool
@pytest.mark.process
def test_alerts_fire_when_they_should_and_no_other_does(tmp_path: Path) -> None:
    """Each case is a healthy loop in which some series are others; after 20 minutes exactly its
    alerts fire."""
    groups = []
    for changed, fires in CASES:
        series = {**HEALTHY, **changed}
        expected = [{"labels": f'{{alertname="{name}"}}', "value": 1} for name in sorted(fires)]
        test = {
            "expr": 'max by (alertname) (ALERTS{alertstate="firing"} == 1)',
            "eval_time": "20m",
            "exp_samples": expected,
        }
        given = [{"series": name, "values": values} for name, values in series.items() if values]
        groups.append(
            {
                "name": " ".join(sorted(fires)) or "healthy",
                "interval": "1m",
                "input_series": given,
                "promql_expr_test": [test],
            }
        )
    file = tmp_path / "cases.yml"
    file.write_text(yaml.safe_dump({"rule_files": [str(RULES)], "tests": groups}))
    code, said = promtool("test", "rules", str(file))
    assert code == 0, said
