"""Windows with new items in them, and the records that are known at the end of each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np

from everfresh.adapters.files.drifting.settings import DriftSettings
from everfresh.adapters.files.drifting.stream import DriftingStream
from everfresh.contracts.event import Event, ItemId
from everfresh.contracts.items.record import Item
from everfresh.contracts.window import TrainingWindow
from everfresh.evaluation.file_windows import cut_windows
from everfresh.infra.cli.commands.items.text_embedding import text_encoder, with_embeddings
from everfresh.model.content.features import Features, features_of

GROUPS = ("cold", "fresh", "other")
Known = Mapping[ItemId, Features]


@dataclass(frozen=True)
class Stream:
    """Windows, the records that are known at the end of each, and which items count as new."""

    windows: Sequence[TrainingWindow]
    records: Sequence[Mapping[ItemId, Item]]
    counted: frozenset[ItemId] | None

    def groups(self) -> list[str]:
        """The group of each target after the first window; empty for one that does not count."""
        born: dict[ItemId, int] = {}
        groups = []
        for at, window in enumerate(self.windows):
            for target in (t for each in window.examples for t in each.targets):
                age = at - born.setdefault(target.item, at)
                if at:
                    new = self.counted is None or target.item in self.counted
                    groups.append((GROUPS[min(age, 2)] if new else "other") if at > 1 else "")
        return groups

    def users(self) -> list[int]:
        """The number of the user of each target after the first window."""
        numbers: dict[object, int] = {}
        return [
            numbers.setdefault(each.user, len(numbers))
            for window in self.windows[1:]
            for each in window.examples
            for _ in each.targets
        ]


def held_out(
    events: Sequence[Event], items: Iterable[Item], windows: int, length: int, seed: int
) -> Stream:
    """A tenth of the items held out, each until a window drawn for it."""
    rng = np.random.Generator(np.random.PCG64(seed))
    used = sorted({event.item_id for event in events}, key=repr)
    some = rng.choice(len(used), len(used) // 10, replace=False)
    until = {
        used[at]: int(window)
        for at, window in zip(some, rng.integers(2, windows - 1, len(some)), strict=True)
    }
    size = -(-len(events) // windows)
    kept = [(at // size, event) for at, event in enumerate(events)]
    kept = [(window, event) for window, event in kept if window >= until.get(event.item_id, 0)]
    labels = [window for window, _ in kept]
    cut = list(cut_windows([event for _, event in kept], lambda at, _: labels[at], length))
    catalogue = {item.id: item for item in items}
    records = [
        {item: each for item, each in catalogue.items() if until.get(item, 0) <= at}
        for at in range(len(cut))
    ]
    return Stream(cut, records, frozenset(until))


def drifting(settings: DriftSettings, events: int, windows: int, length: int) -> Stream:
    """The made-up stream, with the topics of the items alive at the end of each window."""
    size = -(-events // windows)
    made: list[Event] = []
    records: list[dict[ItemId, Item]] = []
    for click in DriftingStream(settings, events).clicks():
        made.append(click.event)
        if len(made) % size == 0 or len(made) == events:
            live, rows = click.items, click.items.alive()[::-1]
            topics = zip(live.items[rows].tolist(), live.topics[rows].tolist(), strict=True)
            records.append(
                {item: Item(id=item, attributes={"topic": f"t{topic}"}) for item, topic in topics}
            )
    return Stream(list(cut_windows(made, lambda at, _: at // size, length)), records, None)


def known_by(arm: str, records: Sequence[Mapping[ItemId, Item]]) -> list[Known]:
    """What an arm knows at the end of each window."""
    if arm == "none":
        return [{} for _ in records]
    parts = set(arm.split("+"))
    told = {item: each for window in records for item, each in window.items()}
    items: Iterable[Item] = told.values()
    if "text" in parts:
        items = with_embeddings(items, ["title"], text_encoder())
    features = {each.id: features_of(_told(each, parts)) for each in items}
    return [{item: features[item] for item in window} for window in records]


def _told(item: Item, parts: set[str]) -> Item:
    kept = {
        name: value for name, value in item.attributes.items() if "all" in parts or name in parts
    }
    return msgspec.structs.replace(item, attributes=kept)
