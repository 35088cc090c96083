"""The record of a run, and the lock of its home."""

from __future__ import annotations

from pathlib import Path

import pytest

from everfresh.contracts.errors import RunError
from everfresh.infra.run.run_record import (
    ProcessRecord,
    RunRecord,
    is_supervised,
    lock_home,
    read_record,
    remove_record,
    write_record,
)


def record() -> RunRecord:
    me = ProcessRecord.of_this_process()
    return RunRecord("run", me, 1, "ready", "127.0.0.1:1", "t.", "127.0.0.1:2", {"broker": me})


def test_a_home_has_one_supervisor_at_a_time(tmp_path: Path) -> None:
    assert not is_supervised(tmp_path)
    with lock_home(tmp_path):
        write_record(tmp_path, record())
        assert is_supervised(tmp_path)
        with pytest.raises(RunError, match=r"is up already \(process \d+\); `everfresh down`"):
            lock_home(tmp_path).__enter__()
    assert not is_supervised(tmp_path)


def test_the_record_is_read_back_and_foreign_ones_are_none(tmp_path: Path) -> None:
    assert read_record(tmp_path) is None
    write_record(tmp_path, record())
    assert read_record(tmp_path) == record()
    (tmp_path / "run" / "run.json").write_text('{"run_id": 7}')
    assert read_record(tmp_path) is None
    remove_record(tmp_path)
    remove_record(tmp_path)
    assert read_record(tmp_path) is None
