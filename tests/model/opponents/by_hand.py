"""The opponents from their definitions: everything sorted and summed afresh for every target."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence

from everfresh.contracts.event import ItemId
from everfresh.contracts.window import DecodedExample
from everfresh.model.metrics import MISS
from everfresh.model.opponents.fading import HALF_LIVES

Times = dict[ItemId, list[int]]
Rank = Callable[["Counted", ItemId | None, ItemId, set[ItemId]], int]


def faded(times: Iterable[int], now: int, half_life: float) -> float:
    """How much events at these times count by now."""
    return sum(2.0 ** (-(now - time) / half_life) for time in times)


class Counted:
    """Counts of all events so far, and which half-life would have been best until now."""

    def __init__(self) -> None:
        self.now = 0
        self.items: Times = defaultdict(list)
        self.followers: dict[ItemId, Times] = defaultdict(lambda: defaultdict(list))
        self.gains = {"popularity": [0.0] * len(HALF_LIVES), "markov": [0.0] * len(HALF_LIVES)}

    def popular(self, half_life: float) -> list[ItemId]:
        """All items, of equal counts the one that was sighted first."""
        return sorted(self.items, key=lambda item: -faded(self.items[item], self.now, half_life))

    def followed(self, last: ItemId | None, half_life: float) -> list[ItemId]:
        """Followers of the last item, then the rest."""
        popular = self.popular(self.best("popularity"))
        after = self.followers[last] if last is not None else {}
        return sorted(popular, key=lambda item: -faded(after.get(item, []), self.now, half_life))

    def best(self, name: str) -> float:
        gains = self.gains[name]
        return HALF_LIVES[gains.index(max(gains))]

    def ranks(
        self, name: str, examples: Sequence[DecodedExample], exclude: bool, half_life: float
    ) -> list[int]:
        out = []
        for last, target, seen in targets(examples, exclude):
            if name == "popularity":
                order = self.popular(half_life)
            else:
                order = self.followed(last, half_life)
            order = [item for item in order if item not in seen]
            out.append(order.index(target) + 1 if target in order else MISS)
        return out

    def judge(self, examples: Sequence[DecodedExample], exclude: bool) -> None:
        events = sum(len(each.targets) for each in examples)
        for name in ("popularity", "markov"):
            for at, half_life in enumerate(HALF_LIVES):
                ranks = self.ranks(name, examples, exclude, half_life)
                gain = sum(1 / math.log2(1 + rank) for rank in ranks if rank <= 10)
                kept = self.gains[name][at] * 2.0 ** (-events / HALF_LIVES[1])
                self.gains[name][at] = kept + gain

    def update(self, examples: Sequence[DecodedExample]) -> None:
        for _, target, _ in targets(examples, exclude=False):
            self.items.setdefault(target, [])  # rows are in this order
        for last, target, _ in in_append_order(examples):
            self.now += 1
            self.items[target].append(self.now)
            if last is not None and last in self.items:
                self.followers[last][target].append(self.now)


def targets(
    examples: Sequence[DecodedExample], exclude: bool
) -> list[tuple[ItemId | None, ItemId, set[ItemId]]]:
    """Of each target: the item before it, itself, and what is left out."""
    out = []
    for each in examples:
        items = [entry.item for entry in [*each.context, *each.targets]]
        for place in range(len(each.context), len(items)):
            last = items[place - 1] if place else None
            out.append((last, items[place], set(items[:place]) if exclude else set()))
    return out


def in_append_order(
    examples: Sequence[DecodedExample],
) -> list[tuple[ItemId | None, ItemId, set[ItemId]]]:
    """The same of all targets, by append time, offset and place."""
    stamps = [
        (each.appended[at], each.offsets[at], number, at)
        for number, each in enumerate(examples)
        for at in range(len(each.targets))
    ]
    order = sorted(range(len(stamps)), key=stamps.__getitem__)
    listed = targets(examples, exclude=False)
    return [listed[place] for place in order]


def neighbours_rank(
    past: Sequence[tuple[int, ItemId]],
    popular: Sequence[ItemId],
    asked: tuple[int, Sequence[ItemId], ItemId, set[ItemId]],
    sizes: tuple[int, int, int],
) -> int:
    """VMIS-kNN over all clicks ``(user, item)`` of the ``past``.

    ``asked`` is user, history, target and what is left out; ``sizes`` are how many clicks on an
    item are looked at, how many neighbours stay and how long a sequence is.
    """
    user, history, target, seen = asked
    sample, neighbours, length = sizes
    known = {item for _, item in past} | set(popular)
    read = [item for item in dict.fromkeys(reversed(history[-20:])) if item in known][:10]
    of_user: dict[int, list[ItemId]] = defaultdict(list)
    newest: dict[int, int] = {}
    for number, (who, item) in enumerate(past):
        of_user[who].append(item)
        newest[who] = number
    similar: dict[int, float] = {}
    place_of: dict[int, int] = {}
    for place, item in enumerate(read):
        clicks = [who for who, clicked in past if clicked == item][-sample:]
        for who in dict.fromkeys(clicks):
            similar[who] = similar.get(who, 0.0) + (len(read) - place) / len(read)
            place_of.setdefault(who, place)
    similar.pop(user, None)
    found = sorted(similar, key=lambda who: -newest[who])[:sample]
    found = sorted(found, key=lambda who: (-similar[who], -newest[who]))[:neighbours]
    scores: dict[ItemId, float] = {}
    for who in found:
        weight = similar[who] * (1.0 - place_of[who] / 10)
        for item in dict.fromkeys(of_user[who][-length:]):
            scores[item] = scores.get(item, 0.0) + weight
    if target in seen or target not in known:
        return MISS
    scored = [item for item in scores if item not in seen]
    late = [item for item in dict.fromkeys(item for _, item in past) if item not in popular]
    order = [*popular, *late]
    scored.sort(key=lambda item: (-scores[item], order.index(item)))
    if target not in scored and target not in popular:
        return MISS
    rest = [item for item in popular if item not in scored and item not in seen]
    return [*scored, *rest].index(target) + 1
