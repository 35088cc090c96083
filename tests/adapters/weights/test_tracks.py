"""What the file of declared tracks may hold, and what a promotion's pointer wins against."""

from __future__ import annotations

from pathlib import Path

import pytest

from everfresh.adapters.weights.rollback import roll_back
from everfresh.adapters.weights.store import FsspecWeightStore
from everfresh.adapters.weights.tracks import FsspecTracks
from everfresh.contracts.errors import CorruptVersion, StalePublish
from everfresh.contracts.manifest import Pointer
from everfresh.contracts.settings import load_settings
from tests.conformance.test_weight_store import FILES, manifest

ONE = b'{"name": "%s", "tuning": {}, "started": 1, "changed": 1}'


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"", "malformed|truncated"),
        (b"[]", "Expected `object`"),
        (b'{"format": 2, "tracks": []}', "format 1 was expected, found 2"),
        (b'{"format": 1, "tracks": [' + ONE % b"../up" + b"]}", "the name of a track"),
        (b'{"format": 1, "tracks": [' + ONE % b"default" + b"]}", "meaning of its own"),
        (b'{"format": 1, "tracks": [{"name": "a", "state": "odd"}]}', "state|missing"),
        (b'{"format": 1, "tracks": [' + b",".join([ONE % b"a"] * 101) + b"]}", "at most 100"),
    ],
)
def test_what_is_no_list_of_tracks_is_refused_in_one_line(
    raw: bytes, words: str, tmp_path: Path
) -> None:
    tracks = FsspecTracks(load_settings({"home": str(tmp_path)}))
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "tracks.json").write_bytes(raw)
    with pytest.raises(CorruptVersion, match=words) as refused:
        tracks.declared()
    assert "\n" not in str(refused.value)
    assert "mend it, or remove it" in str(refused.value)


def test_a_promotion_of_an_epoch_that_is_taken_is_refused(tmp_path: Path) -> None:
    store = FsspecWeightStore(str(tmp_path))
    for version in (1, 2, 3):
        store.write(manifest(version), FILES)
    store.advance(Pointer(1, 2))
    roll_back(store, 1)
    with pytest.raises(StalePublish):
        store.advance(Pointer(2, 3, promoted="fast"))
    assert store.pointer() == Pointer(2, 1, left=2)
    store.advance(Pointer(3, 3, promoted="fast"))
    assert store.pointer() == Pointer(3, 3, promoted="fast")


def test_a_publish_under_way_undoes_no_promotion_where_there_is_no_lock(tmp_path: Path) -> None:
    store = FsspecWeightStore(str(tmp_path))
    for version in (1, 2, 3):
        store.write(manifest(version), FILES)
    store.advance(Pointer(1, 1))
    store.advance(Pointer(2, 3, promoted="fast"))
    # As a trainer writes that had compared pointers before the promotion came.
    (tmp_path / "pointer.json").write_text('{"epoch": 1, "version": 2}')
    assert store.pointer() == Pointer(2, 3, promoted="fast")


@pytest.mark.parametrize(("poll_ms", "look_s"), [(None, 1.0), (100, 1.0), (5_000, 5.0)])
def test_tracks_are_looked_for_no_more_often_than_versions_and_than_once_a_second(
    tmp_path: Path, poll_ms: int | None, look_s: float
) -> None:
    settings = load_settings({"home": str(tmp_path), "serving": {"poll_ms": poll_ms}})
    assert FsspecTracks(settings).look_s == look_s
