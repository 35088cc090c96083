"""Fetches MovieLens 100K for the demo, out of a public Python package that contains it."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from everfresh.adapters.machine.child_process import ChildProcess
from everfresh.adapters.machine.user_cache import user_cache
from everfresh.contracts.errors import DataFileError

INTER = "ml-100k.inter"
INTER_HEADER = "user_id:token\titem_id:token\trating:float\ttimestamp:float"
_PACKAGE = "recbole==1.2.1"
_MEMBER = "recbole/dataset_example/ml-100k/ml-100k.inter"
_SHA256 = "4edb74e2a81178c2ba9ff381495f754f996c4aea351b1272ca36b43da0935eff"
_OTHERWISE = "check the network, or name a copy of MovieLens 100K (GroupLens: u.data) yourself"


def fetch_ml100k(
    on_progress: Callable[[str], None] = lambda text: None, cache_dir: Path | None = None
) -> Path:
    """The path of ``ml-100k.inter``, fetched with pip the first time (2 MB) and kept.

    It is kept in ``cache_dir``, by default the user cache beside the Kafka jars. Its hash is
    checked, and it appears by one rename. ``DataFileError`` where it cannot be fetched.
    """
    target = (cache_dir or user_cache()) / "ml-100k" / INTER
    if target.is_file():
        return target
    on_progress("fetching MovieLens 100K (2 MB, once)")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".fetch-", dir=target.parent) as folder:
            draft = Path(folder) / INTER
            draft.write_bytes(_checked(_wheel(Path(folder))))
            draft.replace(target)
    except OSError as error:
        raise DataFileError(
            f"MovieLens 100K cannot be kept in {target.parent}: {error.strerror}; make it "
            "writable or set XDG_CACHE_HOME to a folder that is"
        ) from None
    return target


def _wheel(folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    pip = ChildProcess(
        [*command, "--no-deps", "--only-binary", ":all:", "--dest", str(folder), _PACKAGE],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        lines = [line for line in pip.output() if line]
    finally:
        pip.stop(grace_s=2.0)
    wheels = list(folder.glob("recbole-*.whl"))
    if not wheels:
        errors = [line for line in lines if "ERROR" in line] or lines or ["nothing"]
        raise DataFileError(
            f"MovieLens 100K could not be fetched, pip said: {errors[-1]}; {_OTHERWISE}"
        )
    return wheels[0]


def _checked(wheel: Path) -> bytes:
    try:
        with zipfile.ZipFile(wheel) as archive:
            data = archive.read(_MEMBER)
    except (KeyError, zipfile.BadZipFile) as error:
        raise DataFileError(f"{wheel.name} holds no {_MEMBER} ({error}); {_OTHERWISE}") from None
    digest = hashlib.sha256(data).hexdigest()
    if digest != _SHA256:
        raise DataFileError(f"{_MEMBER} has sha256 {digest}, expected {_SHA256}; {_OTHERWISE}")
    return data
