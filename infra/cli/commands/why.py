"""``everfresh recommend --why``: which events of a user's history moved the score of each item."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from everfresh.adapters.state.reader import RocksHistoryReader
from everfresh.adapters.weights.tracks import FsspecTracks
from everfresh.contracts.errors import RunError
from everfresh.contracts.event import ItemId
from everfresh.contracts.experiments.definition import DEFAULT
from everfresh.contracts.items.record import Item
from everfresh.contracts.sequence import StoredSequence, decode_entries, unpack_header
from everfresh.contracts.settings import Settings
from everfresh.contracts.topics import EVENTS, topic_name
from everfresh.infra.cli.commands.items.known import changes_so_far
from everfresh.infra.cli.running import with_brokers
from everfresh.infra.cli.streams import write_error
from everfresh.infra.cli.views.titles import title_of, with_title
from everfresh.model.cold_items import ColdItems
from everfresh.model.content.features import features_of
from everfresh.model.inference.leave_one_out import History, Moved, leave_one_out
from everfresh.model.network.batches import encode_events
from everfresh.serving.versions.follow import load_version

_SHOWN = 2
_SAME = 1e-3
INEXACT = (
    "scores of the answer differ from those of its version and history: rules, or what replicas "
    "have counted since, moved them too"
)


def reasons(settings: Settings, answer: Mapping[str, Any]) -> tuple[list[str], str]:
    """Of each item the events that moved its score most, in words; empty where none did. Then what
    is to be said of all of them; mostly nothing.

    Computed here, from the versions and the state that the answer names. ``RunError`` where these
    are not here any more.
    """
    stored = _stored(settings, answer)
    if stored is None:
        return ["" for _ in answer["items"]], "nothing is known of this user: what is hot is best"
    events = decode_entries(stored.entries(), stored.actions)
    records = _records(settings, {*answer["items"], *(event.item for event in events)})
    known = {item: features_of(record) for item, record in records.items()}
    asked = {item: known[item] for item in answer["items"] if item in known}
    number = unpack_header(stored.raw)[0]
    # Two tracks may have made it together; rules have brought what neither has.
    sides = []
    for made in answer.get("teams") or [answer]:
        store = FsspecTracks(settings).store(made.get("track", DEFAULT))
        recommender = load_version(store.manifest(made["version"]), store)
        history = History(encode_events(events, recommender.vocabulary), number, stored.length)
        cold = ColdItems.of(recommender, asked)
        sides.append(leave_one_out(recommender, history, answer["items"], cold))
    teams = answer.get("team_of") or [0] * len(answer["items"])
    moved = [sides[max(team, 0)] for team in teams]
    names = [with_title(event.item, _title(event.item, records)) for event in events]
    words = [_words(each, at, names) for at, each in enumerate(moved)]
    told = np.array([np.nan if each is None else each for each in answer["scores"]], np.float64)
    scores = np.array([each.scores[at] for at, each in enumerate(moved)], np.float64)
    differ = np.abs(scores - told) > _SAME * np.maximum(1.0, np.abs(told))
    return words, INEXACT if differ.any() else ""


def _stored(settings: Settings, answer: Mapping[str, Any]) -> StoredSequence | None:
    """The history that the answer was made from; ``None`` where there was none."""
    if answer.get("state_offset") is None:
        return None
    topic = topic_name(settings.kafka.topic_prefix, EVENTS)
    reader = RocksHistoryReader(settings.state_dir, topic, settings.state.history_length)
    try:
        stored = reader.stored(answer["user_id"])
    finally:
        reader.close()
    if stored is None:
        raise RunError(
            f"--why reads the user's history, and {settings.state_dir} has none; run it on a "
            "machine of the run, with its --home"
        )
    if unpack_header(stored.raw)[1] != answer["state_offset"]:
        raise RunError("the user has new events since the answer was made; ask again")
    return stored


def _records(settings: Settings, wanted: set[ItemId]) -> dict[ItemId, Item]:
    found: dict[ItemId, Item] = {}
    for change in changes_so_far(with_brokers(settings), write_error):
        if change.id in wanted:
            if change.item is None:
                found.pop(change.id, None)
            else:
                found[change.id] = change.item
    return found


def _title(item: ItemId, records: Mapping[ItemId, Item]) -> str:
    return title_of(records[item].attributes) if item in records else ""


def _words(moved: Moved, at: int, names: list[str]) -> str:
    """``Heat (5) +1.20, Casino (7) -0.40``: the events that moved it most, with by how much."""
    if np.isnan(moved.scores[at]):
        return ""
    order = np.argsort(-np.abs(moved.by[:, at]), kind="stable")[:_SHOWN]
    return ", ".join(
        f"{names[moved.places[place]]} {moved.by[place, at]:+.2f}" for place in order.tolist()
    )
