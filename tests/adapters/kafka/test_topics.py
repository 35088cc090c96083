"""Which numbers of partitions cannot serve."""

from __future__ import annotations

import pytest

from everfresh.adapters.kafka.topics import _partition_mismatches


@pytest.mark.parametrize("number", [2, 12])
@pytest.mark.parametrize("topic", ["experiments", "items"])
def test_definitions_and_items_in_several_partitions_are_refused(topic: str, number: int) -> None:
    (line,) = _partition_mismatches("p.", {"p.events": 4, f"p.{topic}": number})
    assert f"topic p.{topic} has {number} partitions; it has 1, since" in line
    assert "choose another kafka.topic_prefix" in line


def test_what_is_made_serves() -> None:
    made = {"p.events": 4, "p.experiments": 1, "p.windows": 4, "p.outcomes": 4, "p.exposures": 4}
    assert list(_partition_mismatches("p.", made)) == []
    assert list(_partition_mismatches("p.", {"p.events": 4})) == []
