"""Fetching MovieLens 100K, with a pip that only pretends."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import pytest

from everfresh.adapters.files import movielens
from everfresh.adapters.files.movielens import fetch_ml100k, read_films
from everfresh.contracts.errors import DataFileError
from everfresh.contracts.items.record import Item

pytestmark = pytest.mark.process

FOLDER = "recbole/dataset_example/ml-100k"
MEMBER, FILMS = f"{FOLDER}/ml-100k.inter", f"{FOLDER}/ml-100k.item"
DATA, TITLES = b"the ratings", b"the films"


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
    hashes = {"ml-100k.inter": DATA, "ml-100k.item": TITLES}
    hashes = {name: hashlib.sha256(data).hexdigest() for name, data in hashes.items()}
    monkeypatch.setattr(movielens, "_SHA256", hashes)
    return package


def packed(path: Path, member: str, data: bytes) -> None:
    """With the films beside, as they should be."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(member, data)
        archive.writestr(FILMS, TITLES)


def test_it_is_fetched_once_and_kept(wheel: Path, tmp_path: Path) -> None:
    packed(wheel, MEMBER, DATA)
    said: list[str] = []
    first = fetch_ml100k(said.append, tmp_path / "cache")
    assert first.read_bytes() == DATA
    assert fetch_ml100k(said.append, tmp_path / "cache") == first
    assert (tmp_path / "runs").read_text() == "run\n"
    # The films come with it, and are there without another download.
    films = fetch_ml100k(said.append, tmp_path / "cache", "ml-100k.item")
    assert films.read_bytes() == TITLES
    assert sorted(first.parent.iterdir()) == [first, films]
    assert (tmp_path / "runs").read_text() == "run\n"
    assert len(said) == 1


def test_films_are_fetched_for_a_cache_that_has_the_ratings_alone(
    wheel: Path, tmp_path: Path
) -> None:
    packed(wheel, MEMBER, DATA)
    kept = tmp_path / "cache" / "ml-100k" / "ml-100k.inter"
    kept.parent.mkdir(parents=True)
    kept.write_bytes(DATA)
    assert fetch_ml100k(cache_dir=tmp_path / "cache", name="ml-100k.item").read_bytes() == TITLES
    assert kept.read_bytes() == DATA


def test_films_have_a_title_genres_and_where_it_is_known_a_year(tmp_path: Path) -> None:
    file = tmp_path / "ml-100k.item"
    head = "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n"
    file.write_text(f"{head}1\tToy Story\t1995\tAnimation Comedy\n267\tunknown\t\tunknown\n")
    toy = {"title": "Toy Story", "genres": ["Animation", "Comedy"], "year": 1995}
    nameless = {"title": "unknown", "genres": ["unknown"]}
    assert list(read_films(file)) == [Item(id=1, attributes=toy), Item(id=267, attributes=nameless)]


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
