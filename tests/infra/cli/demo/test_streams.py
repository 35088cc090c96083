"""The demo's made-up stream: written, read again, and with an event of one user's own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from everfresh.contracts.settings import load_settings
from everfresh.infra.cli.demo.before_after import one_event_file
from everfresh.infra.cli.demo.demo import _demo_settings
from everfresh.infra.cli.demo.streams import Stream, clicks_of, write_clicks
from everfresh.infra.processes.children import StepUpdate


def test_clicks_are_written_with_progress_and_read_again(tmp_path: Path) -> None:
    settings = load_settings({"home": tmp_path})
    said: list[StepUpdate] = []
    stream = write_clicks(clicks_of(tmp_path), 1_500, settings, said.append)
    events = list(stream.events(settings))
    assert len(events) == 1_500
    assert {event.type for event in events} == {stream.action}
    assert stream.ceiling is not None
    assert 0.0 < stream.ceiling.ndcg10 < stream.ceiling.hr10 < 1.0
    assert [note.what for note in said] == ["begins", "waits", "done"]
    assert said[1].text == "1,000 of 1,500"


@pytest.mark.parametrize(("action", "value"), [("rating", 5.0), ("click", None)])
def test_an_event_of_ones_own_is_as_the_streams_are(
    action: str, value: float | None, tmp_path: Path
) -> None:
    stream = Stream("any", tmp_path / "any", "jsonl", action, value, repeats=True)
    event = json.loads(one_event_file(tmp_path, stream, 7, "a").read_bytes())
    assert (event["type"], event.get("value")) == (action, value)
    assert (event["user_id"], event["item_id"]) == (7, "a")


def test_what_users_come_back_to_is_ranked_too(tmp_path: Path) -> None:
    clicks = clicks_of(tmp_path)
    ratings = Stream("ratings", tmp_path / "ratings", "ml-100k", "rating", 5.0, repeats=False)
    settings = load_settings({"home": tmp_path})
    assert not _demo_settings(settings, clicks).trainer.exclude_seen
    assert _demo_settings(settings, ratings).trainer.exclude_seen
