"""Where the trainer stands in the line of versions: read from the store, moved by publishing.

Everything follows from the pointer and the versions it leads to (law 5). Versions only grow: a
complete version above the parent is taken over where it equals the candidate, and its number is
left alone where it does not. A rollback is a new pointer epoch (law 8), whoever raised it: the line
goes on from the version it names and passes over the windows that were trained since.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Mapping
from functools import partial

import msgspec

from everfresh.contracts.errors import CorruptVersion, VersionNotFound, WeightsError, WrongParent
from everfresh.contracts.manifest import Pointer, Rejected, WeightManifest, rolled_back
from everfresh.contracts.ports import TrainerStore
from everfresh.contracts.settings import Settings
from everfresh.model.recommender import Recommender
from everfresh.trainer.checkpoint import (
    TrainedWindow,
    load_served,
    progress_of,
    restore,
    restore_baselines,
    restore_network,
    same_training,
)
from everfresh.trainer.learning.training import Learner, Network, fresh_learner, fresh_network
from everfresh.trainer.retention import removable
from everfresh.trainer.windows.assemble import Progress

_LOG = logging.getLogger("everfresh.trainer")


class Line:
    """Built anew after any failure and any rollback; the constructor reads the pointer's version.

    ``frozen`` is the line's first version; ``parents`` holds the models of versions on trial, and
    that of the current one, which will be, as replicas hold them. All ``None`` or empty before the
    first publish.
    """

    def __init__(self, store: TrainerStore, settings: Settings) -> None:
        self._store = store
        self._settings = settings
        self.pointer = store.pointer()
        self.parent: WeightManifest | None = None
        self.frozen: int | None = None
        self.frozen_model: Recommender | None = None
        self.parents: dict[int, Recommender] = {}
        self.learner: Learner = fresh_learner(settings)
        self.progress = Progress()
        self.trained: TrainedWindow | None = None
        if self.pointer is not None:
            self._read(self.pointer)

    def _read(self, pointer: Pointer) -> None:
        found = restore(self._store, self._store.manifest(pointer.version), self._settings)
        self.parent, self.learner, self.trained = found.manifest, found.learner, found.window
        self.progress, self.frozen = found.progress, found.frozen
        self.frozen_model = self._load(found.frozen)
        self.parents[pointer.version] = self._load(pointer.version)
        for trial in self.learner.gate.trials:
            try:
                self.parents[trial.parent] = self._load(trial.parent)
            except (VersionNotFound, CorruptVersion, WrongParent) as error:
                _LOG.warning("a trial ends without its parent: %s", error)
        self._pass_over(pointer)

    def _pass_over(self, pointer: Pointer) -> None:
        """Go on behind the newest version that can be read of those a rollback turned away from."""
        above = [one for one in self._store.versions() if pointer.version < one <= pointer.left]
        for version in reversed(above):
            try:
                left = self._store.manifest(version)
                baselines = restore_baselines(self._store, left)
            except (CorruptVersion, WrongParent) as error:
                _LOG.warning("turned away from, and how far it came is not known: %s", error)
                continue
            self.progress = progress_of(left)
            # They learn from every window, also from those that are passed over.
            self.learner.popularity, self.learner.markov = baselines
            return

    def _load(self, version: int) -> Recommender:
        served = load_served(self._store, self._store.manifest(version))
        return served.to(self._settings.trainer.device)

    @property
    def number(self) -> int:
        """The number of the next step in the line, which seeds all that is random in it."""
        return self.parent.version if self.parent else 0

    def moved(self) -> bool:
        """Whether another has moved the pointer."""
        return self._store.pointer() != self.pointer

    def parent_network(self) -> Network:
        """The parent's weights and optimizer state, read again."""
        if self.parent is None:
            return fresh_network(self._settings)
        return restore_network(self._store, self.parent, self._settings)

    def write(
        self, candidate: WeightManifest, files: Mapping[str, bytes], now_ms: int
    ) -> WeightManifest:
        """Store a candidate under the next number, or find it stored."""
        below = candidate.parent or 0
        above = [version for version in self._store.versions() if version > below]
        for version in above:
            with contextlib.suppress(CorruptVersion):  # none of ours: its number is left alone
                found = self._store.manifest(version)
                if same_training(found, candidate, files):
                    return found
        numbered = msgspec.structs.replace(
            candidate, version=max([below, *above]) + 1, created_ms=now_ms
        )
        return self._store.write(numbered, files)

    def advance(self, manifest: WeightManifest, files: Mapping[str, bytes]) -> None:
        """Make a stored candidate the current version. ``StalePublish`` where another was faster.

        Its parent stays at hand for its trial.
        """
        pointer = Pointer(self.pointer.epoch if self.pointer else 1, manifest.version)
        self._store.advance(pointer)
        self.pointer, self.parent = pointer, manifest
        live = Recommender.load(manifest.model, files, rows=manifest.rows)
        live.to(self._settings.trainer.device)
        if self.frozen is None:
            self.frozen, self.frozen_model = manifest.version, live
        self.parents[manifest.version] = live
        wanted = {manifest.version, *(trial.parent for trial in self.learner.gate.trials)}
        self.parents = {number: one for number, one in self.parents.items() if number in wanted}

    def roll_back(self, version: int) -> None:
        """Name ``version`` current by a new epoch. The line itself is to be built anew."""
        assert self.pointer is not None, "what was never published cannot be rolled back"
        self._store.advance(rolled_back(self.pointer, version))

    def set_aside(self, rejected: Rejected, files: Mapping[str, bytes]) -> None:
        """Keep what the gate held."""
        self._store.set_aside(rejected, files)

    def tidy(self) -> int:
        """Delete what ``trainer.retention`` calls surplus; how many could not be deleted.

        What an unreadable version was made from is unknown: all below it stay.
        """
        current = self.parent.version if self.parent else 0
        manifests: list[WeightManifest] = []
        failed = 0
        for version in self._store.versions():
            try:
                manifests.append(self._store.manifest(version))
            except WeightsError:
                manifests, failed = [], failed + 1
        pinned = {self.frozen, *self.parents}
        surplus = removable(manifests, current, self._settings.weights.keep, pinned)
        todo: list[Callable[[], None]] = [partial(self._store.delete, one) for one in surplus]
        for clear in [*todo, self._store.sweep]:
            try:
                clear()
            except WeightsError:
                failed += 1
        return failed
