"""``everfresh recommend --why``: from the version and the history that the answer names."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from everfresh.contracts.errors import RunError
from everfresh.contracts.event import ItemId
from everfresh.contracts.items.record import Item, ItemChange
from everfresh.contracts.sequence import StoredSequence, encode_entry, pack_sequence
from everfresh.contracts.settings import Settings
from everfresh.infra.cli.commands import recommend, why
from everfresh.model.recommender import Recommender
from tests.serving.replica_in_memory import ACTIONS, recommender

HISTORY = [3, 9, 4]


def stored(items: Sequence[ItemId], offset: int) -> StoredSequence:
    entries = b"".join(encode_entry(item, 0, 10 * at, None) for at, item in enumerate(items))
    raw = pack_sequence(len(items), offset, len(items), entries)
    return StoredSequence(7, 0, raw, ACTIONS, 8)


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Recommender:
    made = recommender(4)
    store = SimpleNamespace(manifest=lambda version: version)
    tracks = SimpleNamespace(store=lambda name: store)
    reader = SimpleNamespace(stored=lambda user: stored(HISTORY, 5), close=lambda: None)
    records = [ItemChange(9, Item(id=9, attributes={"title": "Heat"})), ItemChange(4, None)]
    monkeypatch.setattr(why, "FsspecTracks", lambda _: tracks)
    monkeypatch.setattr(why, "load_version", lambda manifest, _: made)
    monkeypatch.setattr(why, "RocksHistoryReader", lambda *_: reader)
    monkeypatch.setattr(why, "with_brokers", lambda settings: settings)
    monkeypatch.setattr(why, "changes_so_far", lambda *_: iter(records))
    return made


def answer(model: Recommender, **more: Any) -> dict[str, Any]:
    items = [11, 12, "thirty-one"]
    moved = why.leave_one_out(
        model,
        why.History(why.encode_events(events(), model.vocabulary), 3, 8),
        items,
        why.ColdItems.of(model, {}),
    )
    return {
        "user_id": 7,
        "items": items,
        "scores": moved.scores.tolist(),
        "version": 4,
        "state_partition": 0,
        "state_offset": 5,
        "source": "model",
        **more,
    }


def events() -> Any:
    sequence = stored(HISTORY, 5)
    return why.decode_entries(sequence.entries(), sequence.actions)


def test_events_are_named_with_titles_and_by_how_much(model: Recommender) -> None:
    words, note = why.reasons(Settings(), answer(model))
    assert len(words) == 3
    assert note == ""
    for line in words:
        parts = line.split(", ")
        assert len(parts) == 2
        assert all(part.rsplit(" ", 1)[0] in ("3", "Heat (9)", "4") for part in parts)
        first, second = (abs(float(part.rsplit(" ", 1)[1])) for part in parts)
        assert first >= second


def test_scores_that_something_else_has_moved_are_said(model: Recommender) -> None:
    made = answer(model)
    made["scores"] = [made["scores"][0] + 0.5, *made["scores"][1:]]
    assert why.reasons(Settings(), made)[1] == why.INEXACT
    assert why.reasons(Settings(), answer(model, scores=[None, None, None]))[1] == ""


def test_each_item_of_two_tracks_is_explained_by_the_one_that_brought_it(
    model: Recommender, monkeypatch: pytest.MonkeyPatch
) -> None:
    fast = recommender(5)
    tracks = SimpleNamespace(
        store=lambda name: SimpleNamespace(manifest=lambda version: (name, version))
    )
    models = {("default", 4): model, ("fast", 9): fast}
    monkeypatch.setattr(why, "FsspecTracks", lambda _: tracks)
    monkeypatch.setattr(why, "load_version", lambda manifest, _: models[manifest])
    first, second = answer(model), answer(fast)
    ours, theirs = why.reasons(Settings(), first)[0], words_of_fast(second)
    teams = [{"track": "default", "version": 4}, {"track": "fast", "version": 9}]
    made = answer(model, teams=teams, team_of=[0, 1, -1])
    made["scores"] = [first["scores"][0], second["scores"][1], None]
    assert why.reasons(Settings(), made) == ([ours[0], theirs[1], ours[2]], "")
    assert ours[1] != theirs[1]


def words_of_fast(second: dict[str, Any]) -> list[str]:
    return why.reasons(Settings(), {**second, "track": "fast", "version": 9})[0]


def test_without_a_history_there_is_nothing_to_name(model: Recommender) -> None:
    words, note = why.reasons(Settings(), answer(model, state_offset=None))
    assert words == ["", "", ""]
    assert note == "nothing is known of this user: what is hot is best"


def test_a_history_that_is_another_or_elsewhere_is_one_line(
    model: Recommender, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(RunError, match="new events since the answer was made; ask again"):
        why.reasons(Settings(), answer(model, state_offset=4))
    elsewhere = SimpleNamespace(stored=lambda user: None, close=lambda: None)
    monkeypatch.setattr(why, "RocksHistoryReader", lambda *_: elsewhere)
    with pytest.raises(RunError, match="run it on a machine of the run"):
        why.reasons(Settings(), answer(model))


def test_the_table_has_a_column_for_it(
    model: Recommender, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(recommend, "require_serving_url", lambda home: "http://localhost")
    monkeypatch.setattr(recommend, "ask", lambda *_, **__: answer(model))
    recommend.run_recommend(Settings(), "7", 3, exclude_seen=True, why=True)
    said = capsys.readouterr().out
    assert "moved most by" in said
    assert "Heat (9)" in said
    recommend.run_recommend(Settings(), "7", 3, exclude_seen=True)
    assert "moved most by" not in capsys.readouterr().out
