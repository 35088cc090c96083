"""What does a flood of events cost honest users, and how long do windows then take? (Decision 32.)

    python -m benchmarks.studies.floods [--quick] [--json FILE] [--kind KIND] [--windows N]

Good: windows that do not get longer while a flood lasts, and HR@10 as without one (``none``).

Honest users walk through small groups of items, 900 events a window. From the eleventh window on a
flood of 10,000 events comes on top: on items that nobody else has seen (``newitems``), the same
with two users for each item (``pairs``), of users that nobody has seen (``newusers``), or of one
user on one item (``oneitem``); or none comes (``none``). HR@10 is over what honest users did next.
"""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch

from benchmarks.harness.options import option_parser
from benchmarks.harness.report import show_table, write_figures
from benchmarks.synthetic.window_records import window_records
from everfresh.adapters.memory import MemoryReportSink, MemoryWindowSource
from everfresh.adapters.weights.store import FsspecWeightStore
from everfresh.contracts.event import ItemId, UserId
from everfresh.contracts.sequence import Interaction
from everfresh.contracts.settings import load_settings
from everfresh.contracts.window import DecodedExample, TrainingWindow
from everfresh.model.metrics import scores
from everfresh.trainer.loop import TrainerLoop

KINDS = ("newitems", "pairs", "newusers", "oneitem", "none")
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
            last = int(done[-1]) if done else self._last(user)
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


Row = tuple[float, float, int, str]
"""Of a window: CPU seconds, HR@10 of honest users, items with a row, what the trainer said."""


def measure(kind: str, number: int) -> list[Row]:
    """Train ``number`` windows, one after the other."""
    made = list(Stream(kind).windows(number))
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        store = FsspecWeightStore(str(Path(folder, "weights")), 16)
        source = MemoryWindowSource({0: window_records(window for window, _ in made)})
        settings = load_settings({"home": folder})
        loop = TrainerLoop(
            settings, source, store, MemoryReportSink(), lambda: time.time_ns() // 1_000_000
        )
        for _, honest in made:
            network = loop.learner.network.recommender
            hr10 = float(scores(network.ranks(honest, False))["hr10"])
            began = time.process_time()
            report = loop.step(0)
            took = time.process_time() - began
            said = "" if report is None else report.held or f"{report.flood:,} wait"
            rows.append((took, hr10, len(loop.learner.network.recommender.vocabulary), said))
    return rows


def show(kind: str, rows: Sequence[Row]) -> None:
    """A line for each window."""
    show_table(
        f"{HONEST} honest events a window, and {kind} from window {BEFORE + 1} on",
        ("window", "CPU s ↓", "HR@10 ↑", "items ↓", "said"),
        [
            (str(at), f"{took:.1f}", f"{hr10:.3f}", f"{items:,}", said)
            for at, (took, hr10, items, said) in enumerate(rows, start=1)
        ],
        good="windows that take no longer while it lasts, HR@10 as without a flood",
    )


def figures(rows: Sequence[Row]) -> dict[str, float]:
    """Before the flood, and at its end: seconds of the last window, mean HR@10, items."""
    flooded = rows[BEFORE:] or rows[-1:]
    return {
        "cpu_s_before": round(rows[:BEFORE][-1][0], 2),
        "cpu_s_last": round(rows[-1][0], 2),
        "hr10_flooded": round(sum(row[1] for row in flooded) / len(flooded), 4),
        "items_last": rows[-1][2],
    }


def main(argv: Sequence[str] | None = None) -> None:
    """Train, print, write."""
    parser = option_parser("studies.floods", __doc__)
    parser.add_argument("--kind", choices=KINDS, default="newitems", help="what the flood is")
    parser.add_argument("--windows", type=int, default=30, help="how many, ten without a flood")
    options = parser.parse_args(argv)
    began = time.monotonic()
    torch.set_num_threads(1)
    rows = measure(options.kind, 2 if options.quick else options.windows)
    show(options.kind, rows)
    write_figures(figures(rows), began, options.json)


if __name__ == "__main__":
    main()
