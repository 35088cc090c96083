"""Fetches MovieLens 100K for the demo, out of a public Python package: ratings, and the films."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

from everfresh.adapters.machine.child_process import ChildProcess
from everfresh.adapters.machine.user_cache import user_cache
from everfresh.contracts.errors import DataFileError
from everfresh.contracts.items.record import Item, Value

INTER, FILMS = "ml-100k.inter", "ml-100k.item"
INTER_HEADER = "user_id:token\titem_id:token\trating:float\ttimestamp:float"
_PACKAGE = "recbole==1.2.1"
_FOLDER = "recbole/dataset_example/ml-100k"
_SHA256 = {
    INTER: "4edb74e2a81178c2ba9ff381495f754f996c4aea351b1272ca36b43da0935eff",
    FILMS: "51d7cdf777ce5c0f5b32c1d947a4a81fe07d75e78abbe761e0cd4d0756064532",
}
_OTHERWISE = "check the network, or name a copy of MovieLens 100K (GroupLens: u.data) yourself"


def fetch_ml100k(
    on_progress: Callable[[str], None] = lambda text: None,
    cache_dir: Path | None = None,
    name: str = INTER,
) -> Path:
    """The path of ``ml-100k.inter``, or of ``ml-100k.item`` beside it (``name``), fetched with pip
    the first time (2 MB) and kept.

    Both are kept in ``cache_dir``, by default the user cache beside the Kafka jars. Hashes are
    checked, and files appear by one rename. ``DataFileError`` where it cannot be fetched.
    """
    target = (cache_dir or user_cache()) / "ml-100k" / name
    if target.is_file():
        return target
    on_progress("fetching MovieLens 100K (2 MB, once)")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".fetch-", dir=target.parent) as folder:
            wheel = _wheel(Path(folder))
            found = {each: _checked(wheel, each) for each in _SHA256}
            # The one that was asked for is the last, so that it is there once both are.
            for each in sorted(found, key=lambda each: each == name):
                draft = Path(folder) / each
                draft.write_bytes(found[each])
                draft.replace(target.with_name(each))
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


def read_films(path: Path) -> Iterator[Item]:
    """The films of ``ml-100k.item``: title, year and genres."""
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines()[1:]:
        number, title, year, genres = line.split("\t")
        attributes: dict[str, Value] = {"title": title, "genres": [*genres.split()]}
        if year.isdigit():
            attributes["year"] = int(year)
        yield Item(id=int(number), attributes=attributes)


def _checked(wheel: Path, name: str) -> bytes:
    member = f"{_FOLDER}/{name}"
    try:
        with zipfile.ZipFile(wheel) as archive:
            data = archive.read(member)
    except (KeyError, zipfile.BadZipFile) as error:
        raise DataFileError(f"{wheel.name} holds no {member} ({error}); {_OTHERWISE}") from None
    digest = hashlib.sha256(data).hexdigest()
    if digest != _SHA256[name]:
        raise DataFileError(f"{member} has sha256 {digest}, expected {_SHA256[name]}; {_OTHERWISE}")
    return data
