from __future__ import annotations

import msgspec

from everfresh.contracts.manifest import WeightManifest
from everfresh.trainer.retention import removable
from tests.conformance.test_weight_store import manifest


def line(*snapshots: int, upto: int) -> list[WeightManifest]:
    return [
        # Of a snapshot that has a parent there are deltas beside the whole files.
        msgspec.structs.replace(
            manifest(version),
            parent=version - 1 or None,
            delta_of=version - 1 or None,
            depth=version - max(snapshot for snapshot in snapshots if snapshot <= version),
        )
        for version in range(1, upto + 1)
    ]


def grown(versions: list[WeightManifest], parent: int, *added: int) -> list[WeightManifest]:
    """``versions``, after a rollback to ``parent`` and so many published since, all kept whole."""
    parents = [parent, *added]
    fresh = [
        msgspec.structs.replace(manifest(version), parent=before, delta_of=before)
        for before, version in zip(parents, added, strict=False)
    ]
    return [*versions, *fresh]


def test_the_newest_and_the_pinned_stay() -> None:
    assert removable(line(*range(1, 11), upto=10), 10, 3, {2, None}) == [7, 6, 5, 4, 3, 1]


def test_a_kept_delta_keeps_all_it_is_made_from() -> None:
    kept_as_deltas = line(1, 5, 9, upto=10)
    assert removable(kept_as_deltas, 10, 2, set()) == [8, 7, 6, 5, 4, 3, 2, 1]
    assert removable(kept_as_deltas, 10, 3, set()) == [4, 3, 2, 1]
    assert removable(kept_as_deltas, 10, 2, {3}) == [8, 7, 6, 5, 4]


def test_a_pinned_version_that_is_not_there_is_no_matter() -> None:
    assert removable(line(1, 2, 3, upto=3), 3, 2, {77}) == [1]
    assert removable([], 1, 2, {1}) == []


def test_what_was_rolled_back_to_stays_before_what_was_turned_away_from() -> None:
    versions = grown(line(*range(1, 10), upto=9), 4, 10)
    # Kept of the line: 10, 4, 3. Kept aside: the newest three of 5 to 9.
    assert removable(versions, 10, 3, set()) == [6, 5, 2, 1]


def test_what_was_turned_away_from_goes_once_the_line_has_grown_by_as_many_as_are_kept() -> None:
    versions = grown(line(*range(1, 7), upto=6), 4, 7, 8)
    assert removable(versions, 8, 3, set()) == [3, 2, 1]
    assert removable(grown(versions, 8, 9), 9, 3, set()) == [6, 5, 4, 3, 2, 1]


def test_a_rollback_back_to_a_version_that_was_turned_away_from_keeps_its_line() -> None:
    versions = grown(line(*range(1, 7), upto=6), 3, 7, 8)
    # Back to 6: 7 and 8 are what was turned away from now.
    assert removable(versions, 6, 3, set()) == [3, 2, 1]


def test_a_delta_kept_aside_keeps_all_it_is_made_from() -> None:
    versions = grown(line(1, 5, upto=8), 3, 9, 10)
    # The line is 10, 9, 3; 6 to 8 are aside, deltas of 5, and 3 is one of 2 and 1.
    assert removable(versions, 10, 3, set()) == [4]


def test_what_never_was_live_is_kept_aside_and_no_longer() -> None:
    orphan = msgspec.structs.replace(manifest(4), parent=3)
    versions = grown([*line(1, 2, 3, upto=3), orphan], 3, 5, 6)
    assert removable(versions, 6, 3, set()) == [2, 1]
    assert removable(versions, 6, 2, set()) == [4, 3, 2, 1]


def test_where_the_live_version_cannot_be_read_nothing_goes() -> None:
    assert removable(line(1, 2, 3, 4, upto=4), 5, 2, set()) == []
