"""What do shorter item rows (``weights.rows``) cost in accuracy? Backs decision 20.

    python -m benchmarks.studies.short_rows [--quick] [--json FILE] [--data PATH]

Good: HR@10 and NDCG@10 as with float32, and many events at the same rank.

On MovieLens 100K the trainer's own loop makes a version of every 1,000 events, after a first window
of 30 % of the file. Between two versions each event is first asked for, as a replica would: the
user's history is read through the user cache by the live version, every film new to the user is
ranked, then the event joins the user's state. Every contender reads the same versions, with item
rows in float32, bfloat16 or eight bits, and its history through the rows it has. How many bytes
that saves, ``benchmarks.deltas`` tells.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import msgspec
import numpy as np
import torch

from benchmarks.harness.options import parse_options
from benchmarks.harness.report import show_table, write_figures
from benchmarks.synthetic.window_records import window_records
from everfresh.adapters.files.datasets import DATASETS, event_check, fetch_ml100k
from everfresh.adapters.memory import MemoryReportSink, MemoryWeightStore, MemoryWindowSource
from everfresh.contracts.event import Event, UserId
from everfresh.contracts.manifest import Rows
from everfresh.contracts.sequence import StoredSequence, UserState, encode_entry, pack_sequence
from everfresh.contracts.settings import EventSettings, load_settings
from everfresh.evaluation.file_windows import by_count, cut_windows
from everfresh.model.metrics import MISS, scores
from everfresh.model.version_files import with_item_rows
from everfresh.model.vocabulary.vocabulary import UNKNOWN
from everfresh.serving.history.reader import CachedHistoryReader
from everfresh.serving.versions.follow import load_version
from everfresh.serving.versions.holder import LoadedVersion
from everfresh.trainer.loop import TrainerLoop

KINDS: tuple[Rows, ...] = ("float32", "bf16", "int8")
EVENTS, FIRST = 1_000, 0.3
"""Events of a version, and the share of the file that is the first window."""
_LENGTH = 200
_ACTIONS = ["rating"]


class States:
    """Users' states as the worker keeps them; the port that caches read."""

    def __init__(self) -> None:
        self._entries: dict[UserId, list[bytes]] = {}
        self._accepted: dict[UserId, int] = {}

    def append(self, event: Event) -> None:
        """The event joins its user's state."""
        kept = self._entries.setdefault(event.user_id, [])
        kept.append(encode_entry(event.item_id, 0, event.time, event.value))
        del kept[:-_LENGTH]
        self._accepted[event.user_id] = self._accepted.get(event.user_id, 0) + 1

    def stored(self, user: UserId) -> StoredSequence | None:
        """See the port."""
        kept = self._entries.get(user)
        if kept is None:
            return None
        number = self._accepted[user]
        value = pack_sequence(number, number, len(kept), b"".join(kept))
        return StoredSequence(user, 0, value, _ACTIONS, _LENGTH)

    def read(self, user: UserId) -> UserState | None:
        """See the port."""
        stored = self.stored(user)
        return None if stored is None else stored.decode()


class Contender:
    """A replica that reads item rows as ``rows``: its cache, and the ranks of what came."""

    def __init__(self, states: States, rows: Rows) -> None:
        self._rows = rows
        self._live: LoadedVersion | None = None
        self._histories = CachedHistoryReader(states, 1 << 30)
        self.ranks: list[int] = []

    def take_over(self, version: LoadedVersion) -> None:
        """Answer with it from now on."""
        recommender = with_item_rows(version.recommender, self._rows)
        self._live = msgspec.structs.replace(version, recommender=recommender)

    def rank(self, event: Event) -> None:
        """Rank the event's film among all that its user has not seen."""
        live = self._live
        assert live is not None, "a version is taken over first"
        history = self._histories.read(live, event.user_id)
        row = live.recommender.vocabulary.row(event.item_id)
        if history.vector is None or row == UNKNOWN:
            self.ranks.append(MISS)
            return
        of_items = (
            live.recommender.catalogue().scores(torch.from_numpy(history.vector)[None])[0].numpy()
        )
        own = of_items[row]
        of_items[[UNKNOWN, row]] = of_items[history.rows] = -np.inf
        self.ranks.append(1 + int((of_items >= own).sum()))


def measure(data: Path | None, versions: int) -> dict[str, list[int]]:
    """Ranks of every event after the first window, by what rows were read as."""
    states = States()
    contenders = {rows: Contender(states, rows) for rows in KINDS}
    events, first = _read(data, versions)
    _replay(events, first, versions, states, contenders.values())
    return {rows: contender.ranks for rows, contender in contenders.items()}


def _read(data: Path | None, versions: int) -> tuple[list[Event], int]:
    """The events that are used, and how many of them are the first window."""
    events = list(DATASETS["ml-100k"](data or fetch_ml100k(), event_check(EventSettings())))
    first = round(len(events) * FIRST)
    return events[: first + versions * EVENTS], first


def _replay(
    events: Sequence[Event],
    first: int,
    versions: int,
    states: States,
    contenders: Collection[Contender],
) -> None:
    """Every event after the first window is ranked by each contender, then joins ``states``."""
    settings = load_settings({"home": ".", "trainer": {"first_epochs": 6}})
    share = first / len(events)
    windows = list(cut_windows(events, by_count(len(events), versions + 1, share), _LENGTH))
    store, ticks = MemoryWeightStore(), itertools.count()
    source = MemoryWindowSource({0: window_records(windows)})
    loop = TrainerLoop(
        settings, source, store, MemoryReportSink(), lambda: next(ticks), lambda _: None
    )
    for at, event in enumerate(events):
        if at >= first and (at - first) % EVENTS == 0:
            loop.step(0)
            version = _newest(store)
            print(f"version {version.version} at event {at:,}", flush=True)
            for contender in contenders:
                contender.take_over(version)
        if at >= first:
            for contender in contenders:
                contender.rank(event)
        states.append(event)


def _newest(store: MemoryWeightStore) -> LoadedVersion:
    pointer = store.pointer()
    assert pointer is not None, "the first window is trained"
    manifest = store.manifest(pointer.version)
    return LoadedVersion(pointer.version, pointer.epoch, load_version(manifest, store), manifest, 0)


def show(ranks: Mapping[str, Sequence[int]], versions: int) -> None:
    """A line for each kind of rows."""
    results = figures(ranks)
    fields = ("hr10", "ndcg10", "same_rank")
    show_table(
        f"{versions * EVENTS:,} events, a version every {EVENTS:,}",
        ("rows", "HR@10 ↑", "NDCG@10 ↑", "of the same rank ↑"),
        [(rows, *(f"{results[f'{field}_{rows}']:.4f}" for field in fields)) for rows in ranks],
        good="what float32 has; ranks that move say little by themselves",
    )


def figures(ranks: Mapping[str, Sequence[int]]) -> dict[str, float]:
    """HR@10, NDCG@10 and the share of ranks that are those of float32, by kind of rows."""
    exact = np.asarray(ranks["float32"])
    named: dict[str, float] = {}
    for rows, of_events in ranks.items():
        own = np.asarray(of_events)
        measured = scores(own)
        named |= {
            f"hr10_{rows}": round(measured["hr10"], 4),
            f"ndcg10_{rows}": round(measured["ndcg10"], 4),
            f"same_rank_{rows}": round(float((own == exact).mean()), 4),
        }
    return named


def main(argv: Sequence[str] | None = None) -> None:
    """Train, rank, print, write."""
    options = parse_options("studies.short_rows", __doc__, argv)
    began = time.monotonic()
    torch.set_num_threads(1)
    versions = 3 if options.quick else 40
    ranks = measure(options.data, versions)
    show(ranks, versions)
    write_figures({"events": versions * EVENTS, **figures(ranks)}, began, options.json)


if __name__ == "__main__":
    main()
