"""What the trainer deletes after a window, in a real folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from everfresh.adapters.weights.rollback import roll_back
from everfresh.adapters.weights.store import FsspecWeightStore
from everfresh.contracts.settings import Settings, load_settings
from everfresh.trainer.loop import TrainerLoop
from tests.trainer.bench import Bench
from tests.trainer.logs import make_log
from tests.trainer.small_settings import SMALL


@pytest.fixture
def trainer(small_settings: Settings, tmp_path: Path) -> TrainerLoop:
    """One that keeps three versions and has published four."""
    own: dict[str, Any] = {"weights": {"keep": 3}, "gate": {"trial_windows": 0}}
    settings = load_settings({"home": str(small_settings.home), **SMALL, **own})
    bench = Bench(make_log(2, list(range(3, 12))), settings)
    bench.store = FsspecWeightStore(str(tmp_path / "w"))  # type: ignore[assignment]
    loop = bench.start()
    for _ in range(4):
        assert loop.step(0) is not None
    return loop


def folder(tmp_path: Path, version: int) -> Path:
    return tmp_path / "w" / f"v{version:010d}"


def there(tmp_path: Path) -> list[int]:
    return sorted(int(entry.name[1:]) for entry in (tmp_path / "w").glob("v*"))


def test_a_damaged_manifest_of_an_old_version_is_counted_and_kept_with_all_below_it(
    trainer: TrainerLoop, tmp_path: Path
) -> None:
    assert there(tmp_path) == [1, 2, 3, 4]
    (folder(tmp_path, 3) / "manifest.json").write_bytes(b"{}")
    for undeleted in (1, 2, 3):
        assert trainer.step(0) is not None
        assert trainer.figures.undeleted == undeleted
    # Version 2 would have gone; of those above the damaged one, 4 has.
    assert there(tmp_path) == [1, 2, 3, 5, 6, 7]


def test_what_a_cut_deletion_left_goes_with_the_next_window(
    trainer: TrainerLoop, tmp_path: Path
) -> None:
    (folder(tmp_path, 2) / "manifest.json").unlink()
    assert trainer.step(0) is not None
    assert there(tmp_path) == [1, 3, 4, 5]


def test_what_was_rolled_back_to_outlives_what_was_turned_away_from(
    trainer: TrainerLoop, tmp_path: Path
) -> None:
    roll_back(FsspecWeightStore(str(tmp_path / "w")), 2)
    assert trainer.step(0) is None, "the rollback is noticed"
    left = []
    for _ in range(3):
        assert trainer.step(0) is not None
        left.append(there(tmp_path))
    # 1 is the frozen one; 3 and 4, which were turned away from, stay until the line is 5, 6, 7.
    assert left == [[1, 2, 3, 4, 5], [1, 2, 3, 4, 5, 6], [1, 5, 6, 7]]


@pytest.mark.parametrize("name", ["manifest.json", "trainer.msgpack"])
def test_a_damaged_version_that_was_turned_away_from_stops_nothing(
    trainer: TrainerLoop, tmp_path: Path, name: str
) -> None:
    roll_back(FsspecWeightStore(str(tmp_path / "w")), 2)
    (folder(tmp_path, 4) / name).write_bytes(b"{}")
    assert trainer.step(0) is None, "the rollback is noticed"
    report = trainer.step(0)
    assert report is not None
    # The window of 4 alone is trained again: how far 4 had come is not known any more.
    assert (report.version, report.label) == (5, 6)
