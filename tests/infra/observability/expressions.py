"""What a PromQL expression names: metrics, and labels with the values they are compared with."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import promql_parser
from prometheus_client.parser import text_string_to_metric_families

TARGET: Mapping[str, frozenset[str]] = {
    "component": frozenset(),
    "kind": frozenset({"worker", "trainer", "replica", "bridge", "follower", "guard"}),
    "job": frozenset(),
    "instance": frozenset(),
}
"""Labels that come with a scrape target; those without values have any."""

Offered = Mapping[str, Mapping[str, set[str]]]
"""Name of a series -> its labels -> their values."""


def offered_series(texts: Iterable[str]) -> Offered:
    """What these scrapes hold."""
    found: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for text in texts:
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                labels = found[sample.name]
                for label, value in sample.labels.items():
                    labels[label].add(value)
    return found


def wrong_names(expression: str, offered: Offered) -> list[str]:
    """What the expression names that nobody offers. ``ValueError`` where it cannot be parsed."""
    wrong: list[str] = []
    named: set[str] = set(TARGET)
    groups: list[str] = []

    def look(node: Any) -> None:
        if isinstance(node, promql_parser.VectorSelector):
            wrong.extend(_wrong_of_selector(node, offered))
            named.update(offered.get(node.name or "", {}))
        modifier = getattr(node, "modifier", None)
        if isinstance(node, promql_parser.AggregateExpr) and modifier is not None:
            groups.extend(modifier.labels)
        if isinstance(node, promql_parser.BinaryExpr) and modifier is not None:
            groups.extend(modifier.matching.labels if modifier.matching else [])
            groups.extend(modifier.group_labels or [])

    promql_parser.walk(promql_parser.parse(expression), look)
    return wrong + [f"label {label}" for label in groups if label not in named]


def _wrong_of_selector(selector: Any, offered: Offered) -> Iterator[str]:
    name = selector.name
    if name == "up":
        labels: Mapping[str, set[str] | frozenset[str]] = TARGET
    elif name not in offered:
        yield f"metric {name}"
        return
    else:
        labels = {**TARGET, **offered[name]}
    for matcher in selector.matchers.matchers:
        if matcher.name not in labels:
            yield f"label {matcher.name} of {name}"
            continue
        values = labels[matcher.name]
        if not values:
            continue
        for value in re.split(r"\|", matcher.value):
            if not any(re.fullmatch(value, one) for one in values):
                yield f"{name}{{{matcher.name}={value!r}}}"
