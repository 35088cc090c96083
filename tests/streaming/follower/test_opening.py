"""How a follower begins: from its own disk, a snapshot, or the log; and when it waits or stops."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from everfresh.adapters.state.freshness import FreshnessMarks, fresh_until_ms, mark_of
from everfresh.contracts.errors import LogMismatch, SnapshotError, StateError
from everfresh.contracts.settings import Settings
from everfresh.streaming.fold.rules import shaping
from everfresh.streaming.follower.opening import Standbys
from everfresh.streaming.follower.standby import Standby
from everfresh.streaming.log.identity import LogPlace
from tests.streaming.follower.state_digest import state_digest
from tests.streaming.sample_log import ACTIONS, TOPIC, place, rules
from tests.streaming.worker_disk import HERE, LOG, Machine

RULES = rules(remember_ids=50)
HISTORY = RULES.history_length


class FollowersDisk:
    """A follower's home, beside the machine of a worker whose snapshots it sees."""

    def __init__(self, root: Path, make_settings: Callable[..., Settings]) -> None:
        self.worker = Machine(root / "worker")
        self._make = make_settings
        self._root = root
        self.standbys = self.with_settings()
        self._open: list[Standby] = []

    def with_settings(self, url: str = "", **state: int) -> Standbys:
        settings = self._make(
            home=self._root / "there",
            kafka={"topic_prefix": "t."},
            events={"actions": ACTIONS, "remember_ids": RULES.remember_ids},
            windows={"stretch_events": RULES.stretch_events, "max_targets": 4, "part_bytes": 1024},
            state={
                "history_length": HISTORY,
                "snapshot_url": url or str(self._root / "worker" / "snapshots"),
                **state,
            },
        )
        self.path = settings.state_dir / f"{TOPIC}-0"
        return Standbys(settings)

    def open(self, standbys: Standbys | None = None, where: LogPlace = HERE) -> Standby:
        standby = (standbys or self.standbys).open(where)
        self._open.append(standby)
        return standby

    def close(self) -> None:
        while self._open:
            self._open.pop().close()

    def digest(self) -> str:
        """Of the follower's state, which is open here."""
        return state_digest(dict(self._open[-1]._store.scan(b"")), HISTORY)


@pytest.fixture
def disk(tmp_path: Path, make_settings: Callable[..., Settings]) -> Iterator[FollowersDisk]:
    made = FollowersDisk(tmp_path, make_settings)
    yield made
    made.close()


def snapshot(disk: FollowersDisk, upto: int) -> None:
    """The worker folds the log up to there, and leaves a snapshot."""
    if not hasattr(disk.worker, "store"):
        disk.worker.start(RULES)
    disk.worker.apply(LOG[:upto])
    disk.worker.snapshot()


def counts(standbys: Standbys) -> tuple[int, int, int]:
    figures = standbys.restores[0]
    return figures.from_snapshot, figures.from_log, figures.refused.total()


def test_it_begins_with_the_newest_snapshot_and_then_equals_the_worker(disk: FollowersDisk) -> None:
    snapshot(disk, 700)
    snapshot(disk, 1000)
    standby = disk.open()
    assert (standby.applied, counts(disk.standbys)) == (1000, (1, 0, 0))
    standby.apply(LOG[1000:1500])
    disk.worker.apply(LOG[:1500])
    assert disk.digest() == state_digest(disk.worker.pairs(), HISTORY)


def test_started_again_it_needs_its_own_disk_alone(disk: FollowersDisk) -> None:
    snapshot(disk, 700)
    disk.open().apply(LOG[700:800])
    disk.close()
    nowhere = disk.with_settings(url="/dev/null/nowhere")
    assert disk.open(nowhere).applied == 800
    assert nowhere.restores == {}


def test_without_a_snapshot_it_folds_a_log_that_is_whole(disk: FollowersDisk) -> None:
    standby = disk.open()
    assert (standby.applied, counts(disk.standbys)) == (0, (0, 1, 0))
    standby.apply(LOG)
    disk.worker.start(RULES)
    disk.worker.apply(LOG)
    assert disk.digest() == state_digest(disk.worker.pairs(), HISTORY)


def test_where_the_logs_beginning_is_gone_it_waits_for_a_snapshot(disk: FollowersDisk) -> None:
    cut = place(start=500, end=2000)
    with pytest.raises(SnapshotError, match="its log begins at 500; see that the stream worker"):
        disk.open(where=cut)
    snapshot(disk, 400)  # out of the log's reach
    with pytest.raises(SnapshotError, match="no snapshot of partition 0 can be used"):
        disk.open(where=cut)
    snapshot(disk, 600)
    assert disk.open(where=cut).applied == 600


def test_while_the_snapshots_cannot_be_reached_it_waits_rather_than_fold_all(
    disk: FollowersDisk,
) -> None:
    with pytest.raises(SnapshotError, match="missing: no snapshot"):
        disk.open(disk.with_settings(url="/dev/null/nowhere"))


def test_away_for_longer_than_the_log_is_kept_a_snapshot_takes_its_states_place(
    disk: FollowersDisk,
) -> None:
    snapshot(disk, 300)
    disk.open()
    disk.close()
    with pytest.raises(SnapshotError, match="no snapshot"):
        disk.open(where=place(start=800, end=2000))
    assert disk.path.is_dir()  # replicas go on reading it
    FreshnessMarks(disk.path.parent, TOPIC).set(0, 1_700_000_000_000)
    snapshot(disk, 900)
    assert disk.open(where=place(start=800, end=2000)).applied == 900
    assert fresh_until_ms(mark_of(disk.path.parent, TOPIC, 0)) is None, "of the state before"


def test_what_was_folded_by_other_settings_waits_for_a_snapshot_by_these(
    disk: FollowersDisk,
) -> None:
    snapshot(disk, 300)
    disk.open()
    disk.close()
    longer = disk.with_settings(history_length=HISTORY + 1)
    with pytest.raises(SnapshotError, match="with the release and the settings of this follower"):
        disk.open(longer)
    assert longer.restores[0].refused["foreign"] == 1
    disk.worker.store.close()
    disk.worker.start(rules(remember_ids=50, history_length=HISTORY + 1))
    disk.worker.apply(LOG[300:400])
    disk.worker.snapshot()
    assert disk.open(longer).applied == 400


def test_a_follower_that_runs_sees_that_the_workers_settings_have_changed(
    disk: FollowersDisk,
) -> None:
    snapshot(disk, 300)
    disk.open()
    assert disk.standbys.difference(0) == ""
    changed = shaping(rules(remember_ids=50, history_length=HISTORY + 1))
    disk.worker.apply(LOG[300:400])
    disk.worker.snapshot(rules=changed)
    said = "state.history_length 6, and here that is 5; run the same release"
    assert said in disk.standbys.difference(0)
    assert disk.with_settings(url="/dev/null/nowhere").difference(0) == ""
    disk.close()
    shutil.rmtree(disk.path)
    assert disk.open().applied == 300  # what it differs by is seen before it is read


def test_a_snapshot_of_another_format_is_foreign_and_the_one_before_it_is_taken(
    disk: FollowersDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot(disk, 300)
    monkeypatch.setattr("everfresh.streaming.fold.rules.FOLD", 2)
    disk.worker.store.close()
    disk.worker.start(RULES)  # a newer release
    disk.worker.apply(LOG[300:400])
    disk.worker.snapshot()
    monkeypatch.undo()
    assert disk.open().applied == 300
    assert counts(disk.standbys) == (1, 0, 1)


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ({"topic_id": "another"}, "folded from topic_id"),
        ({"end": 200}, "reaches offset 300, the log ends at 200: the log was cut"),
    ],
)
def test_where_state_and_log_contradict_each_other_it_stops_and_keeps_the_state(
    disk: FollowersDisk, where: dict[str, int | str], said: str
) -> None:
    snapshot(disk, 300)
    disk.open()
    held = disk.digest()
    disk.close()
    with pytest.raises(LogMismatch, match=said):
        disk.open(where=place(**{"end": 2000, **where}))
    disk.open()
    assert disk.digest() == held


def test_on_a_workers_home_it_touches_nothing(disk: FollowersDisk) -> None:
    disk.worker.path = disk.path
    disk.worker.start(RULES)
    disk.worker.apply(LOG[:300])
    held = disk.worker.pairs()
    disk.worker.store.close()
    with pytest.raises(StateError, match=r"is a stream worker's, .*; give the follower a home"):
        disk.open()
    disk.worker.start(RULES)
    assert disk.worker.pairs() == held
