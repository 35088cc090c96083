from __future__ import annotations

import msgspec

from contracts.manifest import WeightManifest
from tests.conformance.test_weight_store import manifest
from trainer.retention import removable


def line(*snapshots: int, upto: int) -> list[WeightManifest]:
    return [
        # Of a snapshot that has a parent there are deltas beside the whole files.
        msgspec.structs.replace(
            manifest(version),
            delta_of=version - 1 or None,
            depth=version - max(one for one in snapshots if one <= version),
        )
        for version in range(1, upto + 1)
    ]


def test_the_newest_and_the_pinned_stay() -> None:
    assert removable(line(*range(1, 11), upto=10), 3, {2, None}) == [7, 6, 5, 4, 3, 1]


def test_a_kept_delta_keeps_all_it_is_made_from() -> None:
    kept_as_deltas = line(1, 5, 9, upto=10)
    assert removable(kept_as_deltas, 2, set()) == [8, 7, 6, 5, 4, 3, 2, 1]
    assert removable(kept_as_deltas, 3, set()) == [4, 3, 2, 1]
    assert removable(kept_as_deltas, 2, {3}) == [8, 7, 6, 5, 4]


def test_a_pinned_version_that_is_not_there_is_no_matter() -> None:
    assert removable(line(1, 2, 3, upto=3), 2, {77}) == [1]
    assert removable([], 2, {1}) == []
