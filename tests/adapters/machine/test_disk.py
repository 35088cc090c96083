"""A disk that is full is said with the place, at the write and before a start."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from everfresh.adapters.machine.disk import is_operators, naming, require_space
from everfresh.adapters.machine.endpoint_record import write_endpoint
from everfresh.contracts.errors import RunError
from everfresh.infra.run.run_record import ProcessRecord, RunRecord, write_record

FULL = Path("/dev/full")
"""Linux answers every write to it as a full disk does."""


def test_a_write_to_a_full_disk_names_the_place(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No space left") as bare:
        FULL.write_bytes(b"x")
    assert bare.value.filename is None, "which is why it is named"
    with pytest.raises(OSError, match=f"No space left on device: '{tmp_path}'"), naming(tmp_path):
        FULL.write_bytes(b"x")


def test_records_of_a_run_name_themselves_on_a_full_disk(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    for name in ("run.new", "serving.new"):
        (run / name).symlink_to(FULL)
    record = RunRecord("id", ProcessRecord(1, 2.0), 3, "ready", "", "", "", {})
    with pytest.raises(OSError, match=r"No space .*run/run\.new"):
        write_record(tmp_path, record)
    with pytest.raises(OSError, match=r"No space .*run/serving\.new"):
        write_endpoint(tmp_path, "http://127.0.0.1:1", "")


def test_other_errors_and_names_stay_as_they_are(tmp_path: Path) -> None:
    with pytest.raises(ConnectionError) as caught, naming(tmp_path):
        raise ConnectionRefusedError(errno.ECONNREFUSED, "refused")
    assert caught.value.filename is None
    with pytest.raises(OSError, match="here") as named, naming(tmp_path):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "here")
    assert named.value.filename == "here"


@pytest.mark.parametrize(
    ("error", "operators"),
    [
        (OSError(errno.ENOSPC, "full"), True),
        (OSError(errno.EROFS, "read-only", "x"), True),
        (PermissionError(errno.EACCES, "no", "x"), True),
        (PermissionError(errno.EACCES, "no"), False),
        (FileNotFoundError(errno.ENOENT, "gone", "x"), False),
    ],
)
def test_what_the_operator_can_mend(error: OSError, operators: bool) -> None:
    assert is_operators(error) is operators


def test_a_disk_that_is_nearly_full_is_said_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    require_space(tmp_path, "home")
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=3_000_000))
    with pytest.raises(RunError, match=f"home is {tmp_path}, whose disk has 3 MB left, and 100 MB"):
        require_space(tmp_path, "home")
