"""Histories that are read before a version is live: several in one run, and never too many."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from everfresh.adapters.memory import ManualClock, MemoryWeightStore
from everfresh.adapters.weights.rollback import roll_back
from everfresh.contracts.event import UserId
from everfresh.contracts.sequence import StoredSequence, UserState
from everfresh.model.inference.incremental import HistoryStates
from everfresh.serving.history import cached_history, reader
from everfresh.serving.history.reader import CachedHistoryReader
from everfresh.serving.versions.follow import Follower, load_version
from everfresh.serving.versions.holder import VersionHolder
from tests.serving.history.user_log import (
    NO_CACHE,
    V1,
    V2,
    V3,
    UserLog,
    assert_same,
    loaded_version,
)
from tests.serving.replica_in_memory import publish

LENGTHS = [3, 1, 6, 5, 6, 2, 6, 5, 0]


class UserLogs:
    """A state for each user, with so many events."""

    def __init__(self, lengths: Sequence[int]) -> None:
        self.logs = [UserLog(20) for _ in lengths]
        for user, number in enumerate(lengths):
            if number:
                self.logs[user].append([1 + (user + at) % 30 for at in range(number)])

    def stored(self, user: UserId) -> StoredSequence | None:
        return self.logs[int(user)].stored(user)

    def read(self, user: UserId) -> UserState | None:
        return self.logs[int(user)].read(user)


def prefetched(logs: UserLogs) -> CachedHistoryReader:
    histories = CachedHistoryReader(logs, 1 << 20, ahead=64)
    for user in range(len(logs.logs)):
        histories.read(V1, user)
    histories.prefetch(V2)
    return histories


def test_histories_read_ahead_in_one_run_are_those_read_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reader, "_PREFETCH_S", 60.0)
    logs = UserLogs(LENGTHS)
    histories = prefetched(logs)
    for _ in range(2):
        for user, log in enumerate(logs.logs):
            assert_same(
                histories.read(V2, user), CachedHistoryReader(logs, NO_CACHE).read(V2, user)
            )
            log.append([8])
    figures = histories.figures()
    known = sum(number > 0 for number in LENGTHS)
    assert (figures.prepared, figures.extended) == (known, known)


def test_a_run_takes_no_more_tokens_than_it_may_with_their_padding(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reader, "_PREFETCH_S", 60.0)
    monkeypatch.setattr(reader, "_PREFETCH_TOKENS", 20)
    runs: list[list[int]] = []
    read = cached_history.read_batched

    def noted(network: object, windows: Sequence[object], length: int) -> object:
        runs.append([1 + window.shape[1] for window in windows])  # type: ignore[attr-defined]
        return read(network, windows, length)  # type: ignore[arg-type]

    monkeypatch.setattr(cached_history, "read_batched", noted)
    histories = prefetched(UserLogs(LENGTHS))
    assert len(runs) > 1
    assert all(len(run) * max(run) <= 20 for run in runs), runs
    assert len(histories._prefetched) == len(LENGTHS) - 1


def test_a_history_too_long_for_a_run_is_read_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "_PREFETCH_S", 60.0)
    monkeypatch.setattr(reader, "_PREFETCH_TOKENS", 4)
    extended: list[int] = []
    extend = HistoryStates.extend

    def noted(self: HistoryStates, network: object, events: object) -> object:
        extended.append(1)
        return extend(self, network, events)  # type: ignore[arg-type]

    logs = UserLogs([9, 9])
    histories = CachedHistoryReader(logs, 1 << 20, ahead=64)
    for user in (0, 1):
        histories.read(V1, user)
    monkeypatch.setattr(HistoryStates, "extend", noted)
    histories.prefetch(V2)
    assert len(extended) == 2


def test_whom_the_last_requests_were_for_is_read_before_a_version_is_live(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("everfresh.serving.history.reader._PREFETCH_S", 60.0)
    log = UserLog(20)
    log.append([1, 2, 3])
    histories = CachedHistoryReader(log, 1 << 20, ahead=2)
    for user in (1, 2, 3):
        histories.read(V1, user)
    histories.prefetch(V2)
    assert_same(
        histories.read(V1, 3), CachedHistoryReader(log, NO_CACHE).read(V1, 3)
    )  # what is live goes on
    log.append([4])
    built = histories.figures().built
    for user, prepared in ((3, 1), (2, 2), (1, 2)):
        assert_same(histories.read(V2, user), CachedHistoryReader(log, NO_CACHE).read(V2, user))
        assert histories.figures().prepared == prepared
    assert histories.figures().built == built + 1
    histories.prefetch(V3)
    assert_same(histories.read(V2, 1), CachedHistoryReader(log, NO_CACHE).read(V2, 1))
    assert_same(histories.read(V3, 1), CachedHistoryReader(log, NO_CACHE).read(V3, 1))


def test_a_version_waits_for_histories_to_be_read_only_so_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("everfresh.serving.history.reader._PREFETCH_S", -1.0)
    log = UserLog(20)
    log.append([1, 2, 3])
    histories = CachedHistoryReader(log, 1 << 20, ahead=2)
    histories.read(V1, 1)
    histories.prefetch(V2)
    assert_same(histories.read(V2, 1), CachedHistoryReader(log, NO_CACHE).read(V2, 1))
    assert histories.figures().prepared == 0


def test_a_state_that_cannot_be_read_holds_no_version_back(
    caplog: pytest.LogCaptureFixture,
) -> None:
    log, store, holder = UserLog(20), MemoryWeightStore(), VersionHolder()
    log.append([1, 2, 3])
    for version in (1, 2, 3):
        publish(store, version, epoch=1)
    histories = CachedHistoryReader(log, 1 << 20, ahead=64)
    follower = Follower(store, holder, ManualClock(1), load_version, histories.prefetch)
    assert follower.step()
    for user in (1, 2, 3):
        histories.read(loaded_version(3), user)
    log.broken = True
    roll_back(store, 2)
    assert follower.step()
    assert (follower.state.failures, follower.state.reason) == (0, None)
    (said,) = caplog.messages
    assert said.startswith("0 histories of 3 were read ahead: the state directory")
