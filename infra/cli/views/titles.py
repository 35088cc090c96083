"""What the items of an answer are called, where the catalogue says so."""

from __future__ import annotations

from typing import Any

TITLES = ("title", "name")
"""Attributes that say what an item is called; the first that it has."""


def titles_of(answer: dict[str, Any]) -> list[str]:
    """One for each item of an answer that was asked for :data:`TITLES`; empty where unknown."""
    told = answer.get("attributes") or ()
    titles = [next((str(each[name]) for name in TITLES if name in each), "") for each in told]
    return titles + [""] * (len(answer["items"]) - len(titles))


def named(answer: dict[str, Any]) -> list[str]:
    """Each item by its id, with its title where it has one."""
    pairs = zip(answer["items"], titles_of(answer), strict=True)
    return [f"{title} ({item})" if title else str(item) for item, title in pairs]
