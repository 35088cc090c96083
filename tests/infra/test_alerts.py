"""The alert rules name metrics that the components really offer."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Any

from everfresh.trainer.metrics import FIGURES
from everfresh.trainer.scoring import reporting

RULES = Path(__file__).parents[2] / "examples" / "alerts.yml"
# Ray needs it, and leaves it without types.
yaml: Any = importlib.import_module("yaml")


def rules() -> list[dict[str, Any]]:
    return [
        rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]
    ]


def test_every_metric_that_a_rule_names_is_offered(scraped: dict[str, str]) -> None:
    named = {name for rule in rules() for name in re.findall(r"everfresh_\w+", rule["expr"])}
    assert len(named) > 10
    text = "\n".join(scraped.values())
    assert named <= set(re.findall(r"^(\w+)[{ ]", text, re.MULTILINE))


def test_every_alarm_of_the_trainer_has_a_rule() -> None:
    expressions = " ".join(rule["expr"] for rule in rules())
    figures = reporting.Figures()
    for name in figures.__struct_fields__:
        raised = {name: 1} if isinstance(getattr(figures, name), int) else {}
        if reporting.Figures(**raised).alarms:
            (metric,) = [each.name for each in FIGURES if each.figure == name]
            assert f"everfresh_trainer_{metric}_total[" in expressions


def test_a_rule_has_a_name_of_its_own_and_says_what_happened() -> None:
    all_rules = rules()
    assert len({rule["alert"] for rule in all_rules}) == len(all_rules)
    assert all(rule["annotations"]["summary"].endswith(".") for rule in all_rules)
