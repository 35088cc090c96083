"""``everfresh recommend`` shows what items are called, where the catalogue says so."""

from __future__ import annotations

from typing import Any

import pytest

from everfresh.contracts.settings import Settings
from everfresh.infra.cli.commands import recommend

ANSWER: dict[str, Any] = {
    "user_id": 1,
    "items": [7, "p"],
    "scores": [1.5, None],
    "version": 3,
    "source": "model",
    "state_offset": None,
}


@pytest.mark.parametrize(
    ("attributes", "shown", "hidden"),
    [
        ([{"title": "Heat"}, {"name": "Alien"}], ["title", "Heat", "Alien", "pinned"], []),
        ([{}, {}], ["pinned"], ["title"]),
        (None, ["pinned"], ["title"]),
    ],
)
def test_titles_are_shown_where_the_catalogue_has_any(
    attributes: Any,
    shown: list[str],
    hidden: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    asked: dict[str, Any] = {}

    def answer(*_: Any, **how: Any) -> dict[str, Any]:
        asked.update(how)
        return {**ANSWER, "attributes": attributes, "shortfall": "2 of 9 items: why"}

    monkeypatch.setattr(recommend, "require_serving_url", lambda _: "http://localhost:1")
    monkeypatch.setattr(recommend, "ask", answer)
    recommend.run_recommend(Settings(), "1", 9, exclude_seen=True)
    out = capsys.readouterr().out
    assert asked["attributes"] == ("title", "name")
    assert all(word in out for word in [*shown, "2 of 9 items: why"])
    assert not any(word in out for word in hidden)
