"""The broker's jars: which they are, and the folder in which all projects of a user share them.

``jars.sha256`` beside this file pins them, in the form of ``sha256sum``: a hash, and the path below
a Maven repository. The folder appears by one rename, so it is complete or not there. A lock file
lets one process at a time fetch.
"""

from __future__ import annotations

import fcntl
import hashlib
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from everfresh.adapters.machine.user_cache import user_cache
from everfresh.contracts.errors import MissingDependency
from everfresh.infra.broker.jar_download import ELSEWHERE, OnProgress, Pin, download

PINS = Path(__file__).with_name("jars.sha256")
_BROKER = "kafka_2.13"


def kafka_version() -> str:
    """The Kafka version that ``jars.sha256`` pins."""
    return next(pin.path.split("/")[-2] for pin in _pins() if f"/{_BROKER}/" in pin.path)


def kafka_jars(repository: str, on_progress: OnProgress) -> Path:
    """The folder of the broker's jars. Fetches from ``repository`` what the cache lacks.

    ``MissingDependency`` where a jar cannot be had, is not the pinned one or cannot be kept.
    """
    pinned = hashlib.sha256(PINS.read_bytes()).hexdigest()[:8]
    folder = user_cache() / f"kafka-{kafka_version()}-{pinned}"
    if folder.is_dir():
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _lock(folder.with_name(folder.name + ".lock"), on_progress):
            if not folder.is_dir():
                _fill(folder, repository, on_progress)
    except OSError as error:
        raise MissingDependency(
            f"the Kafka jars cannot be kept in {folder.parent}: {error}; make it writable, set "
            f"XDG_CACHE_HOME to a folder that is, {ELSEWHERE}"
        ) from None
    return folder


def _pins() -> list[Pin]:
    return [Pin(*line.split()) for line in PINS.read_text().splitlines()]


@contextmanager
def _lock(path: Path, on_progress: OnProgress) -> Iterator[None]:
    with path.open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            on_progress("waiting for another process that fetches Apache Kafka")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _fill(folder: Path, repository: str, on_progress: OnProgress) -> None:
    """Every jar into ``folder``. What a killed fetch left is gone on with, not fetched again."""
    draft = folder.with_name(f"{folder.name}.partial")
    draft.mkdir(exist_ok=True)
    missing = [pin for pin in _pins() if not _has(draft, folder, pin)]
    if missing:
        on_progress(
            f"fetching Apache Kafka {kafka_version()} ({len(missing)} of {len(_pins())} jars, "
            "45 MB in all, once)"
        )
        download(missing, repository, draft, on_progress)
    draft.rename(folder)


def _has(draft: Path, folder: Path, pin: Pin) -> bool:
    """Whether the jar is in ``draft``, also by a copy from the jars of another version."""
    target = draft / pin.name
    if target.is_file():
        return True
    for other in folder.parent.glob(f"kafka-*/{pin.name}"):
        if other.parent != draft and pin.fits(other):
            copy = target.with_suffix(".new")
            shutil.copyfile(other, copy)
            copy.rename(target)
            return True
    return False
