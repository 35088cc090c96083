"""The record of a run on disk, and the lock of its home.

``<home>/run/run.json`` is written before the first process is started and removed after the last
has ended: other commands find the run by it, and the next run ends what a killed one left. The
supervisor holds ``<home>/run/lock`` while it lives. The kernel releases the lock however the
supervisor ends, so a free lock means that no supervisor runs.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import msgspec
import psutil

from everfresh.adapters.machine.disk import naming
from everfresh.contracts.errors import RunError


class ProcessRecord(msgspec.Struct, frozen=True):
    """A process by its id and start time (seconds since the epoch), and the path of its log."""

    pid: int
    started: float
    log: str = ""

    @classmethod
    def of_this_process(cls) -> ProcessRecord:
        """The calling process, without a log."""
        return cls(os.getpid(), psutil.Process().create_time())


class RunRecord(msgspec.Struct, frozen=True):
    """Written by the supervisor; read by ``down``, ``status``, ``replay`` and the next ``up``.

    ``state`` is ``starting``, ``ready`` or ``stopping``.
    """

    run_id: str
    supervisor: ProcessRecord
    started_ms: int
    state: str
    bootstrap_servers: str
    topic_prefix: str
    ray_address: str
    components: dict[str, ProcessRecord]


def _record_path(home: Path) -> Path:
    """Where the record of a home's run lies."""
    return home / "run" / "run.json"


def write_record(home: Path, record: RunRecord) -> None:
    """Replace the record atomically."""
    path = _record_path(home)
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_suffix(".new")
    with naming(new):
        new.write_bytes(msgspec.json.format(msgspec.json.encode(record), indent=2))
    new.replace(path)


def read_record(home: Path) -> RunRecord | None:
    """The record; ``None`` where there is none or it cannot be decoded."""
    try:
        return msgspec.json.decode(_record_path(home).read_bytes(), type=RunRecord)
    except (FileNotFoundError, NotADirectoryError, msgspec.DecodeError):
        return None


def remove_record(home: Path) -> None:
    """Remove the record, once nothing of the run is left."""
    _record_path(home).unlink(missing_ok=True)


@contextlib.contextmanager
def lock_home(home: Path) -> Iterator[None]:
    """Lock the home for one supervisor; ``RunError`` where another one has it."""
    path = home / "run" / "lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            record = read_record(home)
            supervisor = f" (process {record.supervisor.pid})" if record else ""
            raise RunError(
                f"a run of {home} is up already{supervisor}; `everfresh down` stops it, "
                "or give this one another --home"
            ) from None
        yield
    finally:
        os.close(handle)


def is_supervised(home: Path) -> bool:
    """Whether a supervisor of this home is alive."""
    path = home / "run" / "lock"
    if not path.exists():
        return False
    try:
        with lock_home(home):
            return False
    except RunError:
        return True
