"""What ``serving.cache_reuse_versions`` costs in accuracy, and what it saves, on MovieLens 100K.

The trainer's own loop makes a version of every 1,000 events, after a first window of 30 % of the
file. Between two versions each event is first asked for, as a replica would: the user's past is
read through the user cache by the live version, every film new to the user is ranked, then the
event joins the user's state. One cache per setting, all asked the same.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Collection, Sequence
from pathlib import Path

import msgspec
import numpy as np
import torch

from benchmarks.harness.options import parse_options
from benchmarks.harness.report import show_table, write_figures
from benchmarks.synthetic.window_records import window_records
from everfresh.adapters.files.datasets import DATASETS, fetch_ml100k
from everfresh.adapters.memory import MemoryReportSink, MemoryWeightStore, MemoryWindowSource
from everfresh.contracts.event import Event, UserId
from everfresh.contracts.manifest import Rows
from everfresh.contracts.sequence import StoredSequence, UserState, encode_entry, pack_sequence
from everfresh.contracts.settings import load_settings
from everfresh.evaluation.file_windows import by_count, cut_windows
from everfresh.model.metrics import MISS, scores
from everfresh.model.served import served
from everfresh.model.vocabulary.vocabulary import UNKNOWN
from everfresh.serving.history.history import PastReader
from everfresh.serving.versions.follow import load_version
from everfresh.serving.versions.holder import Served
from everfresh.trainer.loop import TrainerLoop

EVENTS, FIRST, REUSE = 1_000, 0.3, (0, 1, 4, 16)
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
    """One setting: its cache, the ranks of what came, and the processor time of reading pasts.

    ``rows`` is what its replica reads item rows as.
    """

    def __init__(self, states: States, reuse: int = 0, rows: Rows = "float32") -> None:
        self._rows = rows
        self._live: Served | None = None
        self.pasts = PastReader(states, 1 << 30, reuse)
        self.ranks: list[int] = []
        self.cpu_s = 0.0
        self.mixed = 0

    def meet(self, version: Served) -> None:
        """Answer with it from now on."""
        recommender = served(version.recommender, self._rows)
        self._live = msgspec.structs.replace(version, recommender=recommender)

    def ask(self, event: Event) -> None:
        """Rank the event's film among all that its user has not seen."""
        live = self._live
        assert live is not None, "a version is met first"
        began = time.thread_time()
        past = self.pasts.read(live, event.user_id)
        self.cpu_s += time.thread_time() - began
        self.mixed += past.version != live.version
        row = live.recommender.vocabulary.row(event.item_id)
        if past.vector is None or row == UNKNOWN:
            self.ranks.append(MISS)
            return
        found = live.recommender.catalogue().scores(past.vector[None])[0].numpy()
        own = found[row]
        found[[UNKNOWN, row]] = found[past.rows] = -np.inf
        self.ranks.append(1 + int((found >= own).sum()))


def main(argv: Sequence[str] | None = None) -> None:
    """Train, ask, print, write."""
    options = parse_options("cache_reuse", __doc__, argv)
    began = time.monotonic()
    torch.set_num_threads(1)
    versions, states = (3 if options.quick else 40), States()
    events, head = read(options.data, versions)
    contenders = {reuse: Contender(states, reuse) for reuse in REUSE}
    run(events, head, versions, states, contenders.values())
    rows, figures = [], {}
    for reuse, one in contenders.items():
        measured = scores(np.asarray(one.ranks))
        hr, ndcg = measured["hr10"], measured["ndcg10"]
        ms, mixed = 1000 * one.cpu_s / len(one.ranks), one.mixed / len(one.ranks)
        rows.append((reuse, f"{hr:.4f}", f"{ndcg:.4f}", f"{mixed:.3f}", f"{ms:.3f}"))
        figures |= {
            f"hr10_{reuse}": round(hr, 4),
            f"ndcg10_{reuse}": round(ndcg, 4),
            f"mixed_{reuse}": round(mixed, 3),
            f"read_ms_{reuse}": round(ms, 3),
        }
    columns = ("versions reused for", "HR@10", "NDCG@10", "answers of two versions", "read ms")
    title = f"{versions * EVENTS:,} events, a version every {EVENTS:,}"
    show_table(title, columns, rows, good="accuracy as with 0, fewer ms")
    write_figures({"events": versions * EVENTS, **figures}, began, options.json)


def read(data: Path | None, versions: int) -> tuple[list[Event], int]:
    """The events that are used, and how many of them are the first window."""
    events = list(DATASETS["ml-100k"](data or fetch_ml100k()))
    head = round(len(events) * FIRST)
    return events[: head + versions * EVENTS], head


def run(
    events: Sequence[Event],
    head: int,
    versions: int,
    states: States,
    contenders: Collection[Contender],
) -> None:
    """Every event after the first ``head`` is asked for by each, then joins ``states``."""
    settings = load_settings({"home": ".", "trainer": {"first_epochs": 6}})
    share = head / len(events)
    windows = list(cut_windows(events, by_count(len(events), versions + 1, share), _LENGTH))
    store, ticks = MemoryWeightStore(), itertools.count()
    source = MemoryWindowSource({0: window_records(windows)})
    loop = TrainerLoop(
        settings, source, store, MemoryReportSink(), lambda: next(ticks), lambda _: None
    )
    for at, event in enumerate(events):
        if at >= head and (at - head) % EVENTS == 0:
            loop.step(0)
            version = _newest(store)
            print(f"version {version.version} at event {at:,}", flush=True)
            for one in contenders:
                one.meet(version)
        if at >= head:
            for one in contenders:
                one.ask(event)
        states.append(event)


def _newest(store: MemoryWeightStore) -> Served:
    pointer = store.pointer()
    assert pointer is not None, "the first window is trained"
    manifest = store.manifest(pointer.version)
    return Served(pointer.version, pointer.epoch, load_version(manifest, store), manifest, 0)


if __name__ == "__main__":
    main()
