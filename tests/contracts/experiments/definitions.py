"""Definitions for tests."""

from __future__ import annotations

from typing import Any

from everfresh.contracts.experiments.definition import Arm, Definition

EVEN = [Arm("control", 0.5), Arm("treatment", 0.5)]


def define(name: str = "green", **changes: Any) -> Definition:
    """A sound definition, with what is given in place of its fields."""
    fields: dict[str, Any] = {"arms": EVEN, "seed": name, "started": 5, "changed": 5}
    return Definition(name=name, **{**fields, **changes})
