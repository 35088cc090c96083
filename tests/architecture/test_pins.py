"""The pins agree with what `pyproject.toml` asks for; `.ci/pins` resolves them for each Python."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
SUPPORTED = [
    entry.rpartition(" ")[2]
    for entry in PROJECT["classifiers"]
    if re.fullmatch(r"Programming Language :: Python :: 3\.\d+", entry)
]


def requirements(python: str) -> list[Requirement]:
    """All of every extra that this Python asks for, without everfresh's own extras."""
    groups = [PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()]
    wanted = [Requirement(text) for group in groups for text in group]
    return [
        one
        for one in wanted
        if one.name != "everfresh"
        and (not one.marker or one.marker.evaluate({"python_version": python}))
    ]


def pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return {plain(name): version for name, _, version in (line.partition("==") for line in lines)}


def plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.mark.parametrize("python", SUPPORTED)
def test_every_requirement_is_pinned_within_its_bounds(python: str) -> None:
    pinned = pins()
    for one in requirements(python):
        assert one.specifier.contains(pinned[plain(one.name)]), one


@pytest.mark.parametrize("python", SUPPORTED)
def test_zstd_comes_from_a_package_only_where_python_has_none(python: str) -> None:
    names = {one.name for one in requirements(python)}
    assert ("backports.zstd" in names) == (python != "3.14")


def test_what_python_has_is_imported_from_it() -> None:
    importing = re.compile(r"^ *(?:from|import) backports\b", re.MULTILINE)
    for path in ROOT.glob("[!.]*/**/*.py"):
        text = path.read_text()
        if importing.search(text):
            assert "sys.version_info >= (3, 14)" in text, path


def test_what_is_supported_is_what_is_resolved_and_let_through() -> None:
    assert SUPPORTED == ["3.11", "3.12", "3.13", "3.14"]
    assert f"for version in {' '.join(SUPPORTED)}; do" in (ROOT / ".ci" / "pins").read_text()
    assert "(3, 11) <= sys.version_info < (3, 15)" in (ROOT / "Makefile").read_text()
