"""``everfresh recommend --why``: which events of a user's history moved the score of each item."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from everfresh.adapters.state.reader import RocksHistoryReader
from everfresh.adapters.weights.tracks import FsspecTracks
from everfresh.contracts.errors import RunError
from everfresh.contracts.event import ItemId
from everfresh.contracts.items.record import Item
from everfresh.contracts.sequence import StoredSequence, decode_entries, unpack_header
from everfresh.contracts.settings import Settings
from everfresh.contracts.topics import EVENTS, topic_name
from everfresh.infra.cli.commands.items.known import changes_so_far
from everfresh.infra.cli.running import with_brokers
from everfresh.infra.cli.streams import write_error
from everfresh.infra.cli.views.titles import TITLES
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

    Computed here, from the version and the state that the answer names. ``RunError`` where these
    are not here any more.
    """
    stored = _stored(settings, answer)
    if stored is None:
        return ["" for _ in answer["items"]], "nothing is known of this user: what is hot is best"
    store = FsspecTracks(settings).store(answer.get("track", "default"))
    recommender = load_version(store.manifest(answer["version"]), store)
    events = decode_entries(stored.entries(), stored.actions)
    number = unpack_header(stored.raw)[0]
    history = History(encode_events(events, recommender.vocabulary), number, stored.length)
    records = _records(settings, {*answer["items"], *(event.item for event in events)})
    known = {item: features_of(record) for item, record in records.items()}
    asked = {item: known[item] for item in answer["items"] if item in known}
    cold = ColdItems.of(recommender, asked)
    moved = leave_one_out(recommender, history, answer["items"], cold)
    names = [_name(event.item, records) for event in events]
    words = [_words(moved, at, names) for at in range(len(answer["items"]))]
    told = np.array([np.nan if each is None else each for each in answer["scores"]], np.float64)
    differ = np.abs(moved.scores - told) > _SAME * np.maximum(1.0, np.abs(told))
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


def _name(item: ItemId, records: Mapping[ItemId, Item]) -> str:
    attributes = records[item].attributes if item in records else {}
    title = next((str(attributes[name]) for name in TITLES if name in attributes), "")
    return f"{title} ({item})" if title else str(item)


def _words(moved: Moved, at: int, names: list[str]) -> str:
    """``Heat (5) +1.20, Casino (7) -0.40``: the events that moved it most, with by how much."""
    if np.isnan(moved.scores[at]):
        return ""
    order = np.argsort(-np.abs(moved.by[:, at]), kind="stable")[:_SHOWN]
    return ", ".join(
        f"{names[moved.places[place]]} {moved.by[place, at]:+.2f}" for place in order.tolist()
    )
