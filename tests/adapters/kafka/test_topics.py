"""Which numbers of partitions cannot serve."""

from __future__ import annotations

import pytest

from everfresh.adapters.kafka.topics import _partition_mismatches


@pytest.mark.parametrize("number", [2, 12])
def test_definitions_in_several_partitions_are_refused(number: int) -> None:
    (line,) = _partition_mismatches("p.", {"p.events": 4, "p.experiments": number})
    assert f"topic p.experiments has {number} partitions; it has 1, since" in line
    assert "choose another kafka.topic_prefix" in line


def test_what_is_made_serves() -> None:
    made = {"p.events": 4, "p.experiments": 1, "p.windows": 4, "p.outcomes": 4, "p.exposures": 4}
    assert list(_partition_mismatches("p.", made)) == []
    assert list(_partition_mismatches("p.", {"p.events": 4})) == []
