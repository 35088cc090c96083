"""What the documents name is there: files, tests, pages and the headings that links lead to."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
FOLDERS = sorted(path.name for path in ROOT.iterdir() if path.is_dir() and path.name[0] != ".")
HISTORY = ("CHANGELOG.md",)
"""Tells of files by the names that they had."""

page = pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))


def quoted(text: str) -> list[str]:
    """What stands in backticks, outside of blocks of code."""
    return re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.S))


@cache
def known_tests() -> frozenset[str]:
    """The names of all tests, without ``test_``."""
    files = (ROOT / "tests").rglob("*.py")
    return frozenset(
        name for file in files for name in re.findall(r"def test_(\w+)", file.read_text())
    )


@cache
def anchors(path: Path) -> frozenset[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    text = re.sub(r"```.*?```", "", path.read_text(), flags=re.S)
    titles = re.findall(r"^#+ +(.+)$", text, flags=re.M)
    plain = [re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", title).lower() for title in titles]
    return frozenset(re.sub(r"[^\w\- ]", "", title).replace(" ", "-") for title in plain)


@page
def test_files_that_a_page_names_are_there(page: Path) -> None:
    if page.name in HISTORY:
        return
    places = [name for name in quoted(page.read_text()) if name.split("/")[0] in FOLDERS]
    files = [place for place in places if re.fullmatch(r"[\w./-]+/[\w.-]*", place)]
    gone = [file for file in files if not list(ROOT.glob(f"{file.rstrip('/')}*"))]
    assert gone == []


@page
def test_links_of_a_page_lead_somewhere(page: Path) -> None:
    dead = []
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if not re.match(r"[a-z]+:", link):
            name, _, anchor = link.partition("#")
            target = (page.parent / name) if name else page
            if not target.exists() or (anchor and anchor not in anchors(target)):
                dead.append(link)
    assert dead == []


def test_every_test_that_stands_for_a_guarantee_exists() -> None:
    rows = (ROOT / "docs" / "guarantees.md").read_text().splitlines()
    named = {name for row in rows if row.startswith("|") for name in quoted(row.split("|")[-2])}
    named = {name for name in named if re.fullmatch(r"[a-z][a-z0-9_]+_[a-z0-9_]+", name)}
    assert len(named) > 100
    assert named - known_tests() == set()


def test_every_test_that_stands_for_a_law_exists() -> None:
    lines = (ROOT / "docs" / "laws.md").read_text().splitlines()
    named = {name for line in lines if line.startswith("**Test") for name in quoted(line)}
    named = {name for name in named if "/" not in name}
    assert len(named) > 10
    assert named - known_tests() == set()
