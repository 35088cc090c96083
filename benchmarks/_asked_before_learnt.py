"""Versions of 1,000 events each on MovieLens 100K, and replicas that are asked before each event.

The trainer's own loop makes a version of every 1,000 events, after a first window of 30 % of the
file. Between two versions each event is first asked for, as a replica would: the live version reads
the user's history through the user cache and ranks every film new to the user, then the event joins
the user's state.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Sequence
from pathlib import Path

import msgspec
import numpy as np

from benchmarks._poison import slices
from everfresh.adapters.files.datasets import DATASETS, fetch_ml100k
from everfresh.adapters.memory import MemoryReportSink, MemoryWeightStore, MemoryWindowSource
from everfresh.contracts.event import Event, UserId
from everfresh.contracts.manifest import Rows
from everfresh.contracts.sequence import StoredSequence, UserState, encode_entry, pack_sequence
from everfresh.contracts.settings import load_settings
from everfresh.evaluation.file_windows import by_count, cut_windows
from everfresh.model.metrics import MISS
from everfresh.model.version_files import with_item_rows
from everfresh.model.vocabulary.vocabulary import UNKNOWN
from everfresh.serving.history.reader import CachedHistoryReader
from everfresh.serving.versions.follow import load_version
from everfresh.serving.versions.holder import LoadedVersion
from everfresh.trainer.loop import TrainerLoop

EVENTS, FIRST = 1_000, 0.3
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
    """A replica that reads item rows as ``rows``, and the ranks of what came."""

    def __init__(self, states: States, rows: Rows) -> None:
        self._rows = rows
        self._live: LoadedVersion | None = None
        self.histories = CachedHistoryReader(states, 1 << 30)
        self.ranks: list[int] = []

    def meet(self, version: LoadedVersion) -> None:
        """Answer with it from now on."""
        recommender = with_item_rows(version.recommender, self._rows)
        self._live = msgspec.structs.replace(version, recommender=recommender)

    def ask(self, event: Event) -> None:
        """Rank the event's film among all that its user has not seen."""
        live = self._live
        assert live is not None, "a version is met first"
        history = self.histories.read(live, event.user_id)
        row = live.recommender.vocabulary.row(event.item_id)
        if history.vector is None or row == UNKNOWN:
            self.ranks.append(MISS)
            return
        found = live.recommender.catalogue().scores(history.vector[None])[0].numpy()
        own = found[row]
        found[[UNKNOWN, row]] = found[history.rows] = -np.inf
        self.ranks.append(1 + int((found >= own).sum()))


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
    source = MemoryWindowSource({0: slices(windows)})
    loop = TrainerLoop(
        settings, source, store, MemoryReportSink(), lambda: next(ticks), lambda _: None
    )
    for at, event in enumerate(events):
        if at >= head and (at - head) % EVENTS == 0:
            loop.step(0)
            version = _newest(store)
            print(f"version {version.version} at event {at:,}", flush=True)
            for contender in contenders:
                contender.meet(version)
        if at >= head:
            for contender in contenders:
                contender.ask(event)
        states.append(event)


def _newest(store: MemoryWeightStore) -> LoadedVersion:
    pointer = store.pointer()
    assert pointer is not None, "the first window is trained"
    manifest = store.manifest(pointer.version)
    return LoadedVersion(pointer.version, pointer.epoch, load_version(manifest, store), manifest, 0)
