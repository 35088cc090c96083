"""A trainer in memory: a made-up log, the shipped fakes, a clock that only counts."""

from __future__ import annotations

import itertools
from typing import Any

from everfresh.adapters.memory import (
    MemoryReportSink,
    MemoryTracks,
    MemoryWeightStore,
    MemoryWindowSource,
)
from everfresh.contracts.manifest import WeightManifest
from everfresh.contracts.ports import TrackStore
from everfresh.contracts.settings import Settings
from everfresh.trainer.learning.training import TrainWindow, train_window
from everfresh.trainer.loop import Boundary, TrainerLoop
from tests.trainer.logs import Log

STEPS = ("read", "score", "train", "check", "write", "advance", "report", "tidy")
"""The loop's steps, in their order: what a boundary is called with."""


class Bench:
    """One store, one sink and one log, over which trainers live and die."""

    def __init__(self, log: Log, settings: Settings) -> None:
        self.log = log
        self.settings = settings
        self.store = MemoryWeightStore()
        self.tracks: TrackStore = MemoryTracks(self.store, look_s=0.0)
        self.reports = MemoryReportSink()
        self._ticks = itertools.count(1_000)

    def start(
        self, boundary: Boundary = lambda step: None, train: TrainWindow = train_window
    ) -> TrainerLoop:
        """A new trainer, as after a restart: nothing but store and log is left of the last one."""
        return TrainerLoop(
            self.settings,
            MemoryWindowSource(self.log),
            self.store,
            self.reports,
            lambda: next(self._ticks),
            boundary,
            train,
        )

    def run(self, boundary: Boundary = lambda step: None) -> TrainerLoop:
        """A new trainer, run to the end of the log."""
        loop = self.start(boundary)
        for _ in range(2 * len(next(iter(self.log.values())))):
            loop.step(0)
        return loop

    def versions(self) -> list[tuple[Any, ...]]:
        """Everything of all versions but the time of their making."""
        return [content(self.store.manifest(version)) for version in self.store.versions()]


def content(manifest: WeightManifest) -> tuple[Any, ...]:
    """All of a manifest that must be equal between a disturbed and an undisturbed run."""
    return (
        manifest.version,
        manifest.parent,
        manifest.label,
        manifest.trained_through,
        manifest.windows_read,
        manifest.events,
        manifest.items,
        manifest.scores,
        manifest.left,
        {file.name: file.digest for file in manifest.files},
    )
