"""The view of one user before and after an event: ids, and titles where there are any."""

from __future__ import annotations

import io
from typing import Any

from rich.console import Console

from everfresh.infra.cli.demo.before_after import Change, change_view


def answer(items: list[int], titles: list[str] | None) -> dict[str, Any]:
    told = None if titles is None else [{"title": each} if each else {} for each in titles]
    return {
        "user_id": 7,
        "items": items,
        "version": 3,
        "state_offset": 4,
        "attributes": told,
    }


def shown(change: Change) -> str:
    printed = io.StringIO()
    Console(width=120, file=printed).print(change_view(change, "rating"))
    return printed.getvalue()


def test_films_are_shown_by_title_and_id() -> None:
    before, after = answer([1, 2], ["Toy Story", ""]), answer([2, 5], ["", "Heat"])
    text = shown(Change(1, before, after, 0.1))
    assert "Toy Story (1)" in text
    assert "Heat (5)" in text
    assert " 2 " in text


def test_without_a_catalogue_ids_are_shown() -> None:
    text = shown(Change(1, answer([1, 2], None), answer([2, 5], None), 0.1))
    assert "(1)" not in text
    assert " 5 " in text
