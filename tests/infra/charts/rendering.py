"""Helm as a library: the chart rendered for values, as the objects that a cluster would get."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from helm_python import Chart

CHART = Path(__file__).parents[3] / "infra" / "charts" / "everfresh"
VALUES = Path(__file__).parent / "values"
# Ray needs it, and leaves it without types.
yaml: Any = importlib.import_module("yaml")


def sample(name: str) -> dict[str, Any]:
    """The values of one installation, ``values/NAME.yaml``."""
    values: dict[str, Any] = yaml.safe_load((VALUES / f"{name}.yaml").read_text())
    return values


def samples() -> list[str]:
    """The names of all of them."""
    return sorted(file.stem for file in VALUES.glob("*.yaml"))


def render(values: Mapping[str, Any], name: str = "demo") -> list[dict[str, Any]]:
    """All objects, in no order. ``HelmError`` where the chart refuses the values."""
    with Chart.load(CHART) as chart:
        rendered = chart.render(dict(values), name=name, namespace="shop")
    texts = [text for file, text in rendered.items() if file.endswith(".yaml")]
    return [one for text in texts for one in yaml.safe_load_all(text) if one]


def only(objects: list[dict[str, Any]], kind: str, name: str | None = None) -> dict[str, Any]:
    """The one object of a kind, or of a kind and a name."""
    (found,) = [
        one
        for one in objects
        if one["kind"] == kind and (name is None or one["metadata"]["name"] == name)
    ]
    return found
