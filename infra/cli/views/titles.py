"""What items are called, where the catalogue says so."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

TITLES = ("title", "name")
"""Attributes that say what an item is called; the first that it has."""


def title_of(attributes: Mapping[str, Any]) -> str:
    """What an item with these is called; empty where unknown."""
    return next((str(attributes[name]) for name in TITLES if name in attributes), "")


def with_title(item: object, title: str) -> str:
    """An item by its id, with its title where it has one."""
    return f"{title} ({item})" if title else str(item)


def titles_of(answer: dict[str, Any]) -> list[str]:
    """One for each item of an answer that was asked for :data:`TITLES`; empty where unknown."""
    titles = [title_of(each) for each in answer.get("attributes") or ()]
    return titles + [""] * (len(answer["items"]) - len(titles))


def named(answer: dict[str, Any]) -> list[str]:
    """Each item of an answer by its id, with its title where it has one."""
    return list(map(with_title, answer["items"], titles_of(answer)))
