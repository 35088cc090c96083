"""What a flood costs: windows of honest events, then the same with many more from elsewhere.

    python -m benchmarks.studies.floods [none|newitems|pairs|newusers|oneitem] [windows]

Honest users walk through small groups of items, 900 events a window. From the eleventh window on a
flood of 10,000 events comes on top: on items that nobody else has seen (``newitems``), the same
with two users for each item (``pairs``), of users that nobody has seen (``newusers``), or of one
user on one item (``oneitem``); or none comes (``none``). Backs decision 32.

Printed for each window: CPU seconds from reading to publishing, how often what honest users did
next is among ten, and how many items there are.
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import torch

from benchmarks.synthetic.window_records import window_records
from everfresh.adapters.memory import MemoryReportSink, MemoryWindowSource
from everfresh.adapters.weights.store import FsspecWeightStore
from everfresh.contracts.event import ItemId, UserId
from everfresh.contracts.sequence import Interaction
from everfresh.contracts.settings import Settings, load_settings
from everfresh.contracts.window import DecodedExample, TrainingWindow
from everfresh.model.metrics import scores
from everfresh.trainer.loop import TrainerLoop

USERS, GROUPS, GROUP = 300, 100, 15
HONEST, FLOOD, BEFORE = 900, 10_000, 10
SPEED = 2_000
"""Milliseconds of a window."""


class Stream:
    """Events window by window; a history is what a user did in earlier windows."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._chance = random.Random(5)
        self._past: dict[UserId, list[Interaction]] = {}
        self._sent = 0

    def windows(self, number: int) -> Iterator[tuple[TrainingWindow, list[DecodedExample]]]:
        """Each window, and its honest examples."""
        for label in range(1, number + 1):
            honest = self._examples(self._honest(), label)
            flooded = label > BEFORE and self.kind != "none"
            flood = self._examples(self._flood() if flooded else {}, label)
            examples = honest + flood
            yield TrainingWindow(label, {}, examples, {}), honest

    def _honest(self) -> dict[UserId, list[ItemId]]:
        acts: dict[UserId, list[ItemId]] = {}
        for _ in range(HONEST):
            user = self._chance.randrange(USERS)
            done = acts.setdefault(user, [])
            last = done[-1] if done else self._last(user)
            group = self._chance.randrange(GROUPS) if self._chance.random() < 0.1 else last // GROUP
            step = self._chance.choice((1, 1, 1, 2, 3))
            done.append(group * GROUP + (last + step) % GROUP)
        return acts

    def _last(self, user: UserId) -> int:
        past = self._past.get(user)
        return int(past[-1].item) if past else self._chance.randrange(GROUPS * GROUP)

    def _flood(self) -> dict[UserId, list[ItemId]]:
        acts: dict[UserId, list[ItemId]] = {}
        for _ in range(FLOOD):
            self._sent += 1
            user: UserId = f"f{self._chance.randrange(2_000)}"
            item: ItemId = f"evil-{self._sent}"
            if self.kind == "pairs":
                item = f"evil-{self._sent // 2}"
            elif self.kind == "newusers":
                user, item = f"u{self._sent}", self._chance.randrange(500)
            elif self.kind == "oneitem":
                user, item = "f1", 7
            acts.setdefault(user, []).append(item)
        return acts

    def _examples(self, acts: dict[UserId, list[ItemId]], label: int) -> list[DecodedExample]:
        examples = []
        for user, items in acts.items():
            past = self._past.setdefault(user, [])
            times = sorted(label * SPEED + self._chance.randrange(SPEED) for _ in items)
            targets = [Interaction(item, "view", at) for item, at in zip(items, times, strict=True)]
            examples.append(DecodedExample(user, past[-100:], targets, times, times))
            self._past[user] = [*past, *targets][-100:]
        return examples


def main(kind: str, number: int, settings: Settings, folder: Path) -> None:
    """Print a row for each window."""
    torch.set_num_threads(1)
    made = list(Stream(kind).windows(number))
    store, reports = FsspecWeightStore(str(folder), 16), MemoryReportSink()
    source = MemoryWindowSource({0: window_records(window for window, _ in made)})
    loop = TrainerLoop(settings, source, store, reports, lambda: time.time_ns() // 1_000_000)
    print("window, CPU s, honest HR@10, items, said")
    for at in range(number):
        network = loop.learner.network.recommender
        honest = float(scores(network.ranks(made[at][1], False))["hr10"])
        begun = time.process_time()
        report = loop.step(0)
        took = time.process_time() - begun
        said = "" if report is None else report.held or f"{report.flood:,} wait"
        items = len(loop.learner.network.recommender.vocabulary)
        print(f"{at + 1}, {took:.1f}, {honest:.3f}, {items:,}, {said}", flush=True)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        main(
            sys.argv[1] if len(sys.argv) > 1 else "newitems",
            int(sys.argv[2]) if len(sys.argv) > 2 else 30,
            load_settings({"home": folder}),
            Path(folder) / "weights",
        )
