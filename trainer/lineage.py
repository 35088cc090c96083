"""Where the trainer stands among the versions: read from the store, moved by publishing.

Everything follows from the pointer and the versions it leads to (law 5). Versions only grow: a
complete version above the parent is taken over where it equals the candidate, and its number is
left alone where it does not. A rollback is a new pointer epoch (law 8), whoever raised it: the
lineage goes on from the version it names and passes over the windows that were trained since.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import msgspec

from everfresh.contracts.errors import CorruptVersion, VersionNotFound, WeightsError, WrongParent
from everfresh.contracts.event import ItemId
from everfresh.contracts.manifest import Pointer, Rejected, WeightManifest, rolled_back
from everfresh.contracts.ports import TrainerStore
from everfresh.contracts.safetensors import VersionFile
from everfresh.contracts.settings import Settings
from everfresh.contracts.settings.tracks import tuned
from everfresh.model.cold_items import WithCold
from everfresh.model.content.features import Features
from everfresh.model.opponents.fading import HALF_LIVES
from everfresh.model.recommender import Recommender
from everfresh.trainer.checkpoint import (
    load_served,
    progress_of,
    restore,
    restore_network,
    restore_opponents,
    same_training,
)
from everfresh.trainer.learning.learner import Learner, fresh_learner
from everfresh.trainer.learning.network import Network, fresh_network
from everfresh.trainer.retention import removable
from everfresh.trainer.scoring.prequential import FROZEN, LIVE, Contender, Served
from everfresh.trainer.scoring.window_summary import WindowSummary
from everfresh.trainer.served_versions import ServedVersions
from everfresh.trainer.windows.assemble import Progress

_LOG = logging.getLogger("everfresh.trainer")


class Lineage:
    """Built anew after any failure and any rollback; the constructor reads the pointer's version.

    ``frozen`` is the first version; ``parents`` holds the models that probations compare with, and
    that of the current version, which one will, as replicas hold them. All ``None`` or empty before
    the first publish.

    ``settings`` are those that training goes on by: with the ``tuning`` that the pointer's version
    names, or the one given where there is none yet.
    """

    def __init__(
        self, store: TrainerStore, settings: Settings, tuning: Mapping[str, Any] | None = None
    ) -> None:
        self._store = store
        self.pointer = store.pointer()
        current = None if self.pointer is None else store.manifest(self.pointer.version)
        self.tuning = dict((tuning or {}) if current is None else current.tuning)
        self.settings = self._settings = settings = tuned(settings, self.tuning)
        self.parent: WeightManifest | None = None
        self.frozen: int | None = None
        self.frozen_model: Recommender | None = None
        self.served = ServedVersions(settings.trainer.device)
        self.learner: Learner = fresh_learner(settings)
        self.progress = Progress()
        self.trained: WindowSummary | None = None
        if self.pointer is not None and current is not None:
            self._read(self.pointer, current)

    def _read(self, pointer: Pointer, current: WeightManifest) -> None:
        checkpoint = restore(self._store, current, self._settings)
        self.parent, self.learner = checkpoint.manifest, checkpoint.learner
        self.progress, self.trained = checkpoint.progress, checkpoint.window
        self.frozen = checkpoint.frozen
        self.frozen_model = self._load(checkpoint.frozen)
        for probation in self.learner.gate.probations:
            try:
                self.parents[probation.parent] = self._load(probation.parent)
            except (VersionNotFound, CorruptVersion, WrongParent) as error:
                _LOG.warning("a probation ends without its parent: %s", error)
        # Last, for the next version is made of what the store has read last.
        self.parents[pointer.version] = self._load(pointer.version)
        self._pass_over(pointer)

    def _pass_over(self, pointer: Pointer) -> None:
        """Go on behind the newest version that can be read of those a rollback turned away from."""
        versions = self._store.versions()
        above = [version for version in versions if pointer.version < version <= pointer.left]
        for version in reversed(above):
            try:
                left = self._store.manifest(version)
                opponents = restore_opponents(self._store, left)
            except (CorruptVersion, WrongParent) as error:
                _LOG.warning("turned away from, and how far it came is not known: %s", error)
                continue
            self.progress = progress_of(left)
            # They learn from every window, also from those that are passed over.
            self.learner.opponents = opponents
            return

    @property
    def parents(self) -> dict[int, Recommender]:
        """By number of the version."""
        return self.served.models

    def _load(self, version: int) -> Recommender:
        served = load_served(self._store, self._store.manifest(version))
        return served.to(self._settings.trainer.device)

    @property
    def number(self) -> int:
        """The number of the next step, which seeds all that is random in it."""
        return self.parent.version if self.parent else 0

    def moved(self) -> bool:
        """Whether another has moved the pointer."""
        return self._store.pointer() != self.pointer

    def contenders(self, cold: Mapping[ItemId, Features]) -> dict[str, Contender]:
        """Who ranks a window: what serves, its frozen ancestor, the opponents.

        ``cold`` are contents of items, of which those without a row are ranked by what serves, too.
        """
        opponents: dict[str, Contender] = {**self.learner.opponents.contenders()}
        if self.frozen_model is None:  # no version serves yet
            return opponents
        tail = self._settings.serving.tail
        half_life = HALF_LIVES[self.learner.opponents.popularity.choice.best]
        live = Served(WithCold(self.parents[self.number], cold), tail, half_life)
        return {LIVE: live, FROZEN: self.frozen_model, **opponents}

    def parents_with(self, cold: Mapping[ItemId, Features]) -> dict[int, WithCold]:
        """The parents, to be compared with what :meth:`contenders` says of the live version."""
        return {version: WithCold(parent, cold) for version, parent in self.parents.items()}

    def parent_network(self) -> Network:
        """The parent's weights and optimizer state, read again."""
        if self.parent is None:
            return fresh_network(self._settings)
        return restore_network(self._store, self.parent, self._settings)

    def write(
        self, candidate: WeightManifest, files: Mapping[str, VersionFile], now_ms: int
    ) -> WeightManifest:
        """Store a candidate under the next number, or find it stored."""
        below = candidate.parent or 0
        above = [version for version in self._store.versions() if version > below]
        named = self._store.name_files(candidate.parent, files) if above else []
        for version in above:
            with contextlib.suppress(CorruptVersion):  # none of ours: its number is left alone
                stored = self._store.manifest(version)
                if same_training(stored, candidate, named):
                    return stored
        numbered = msgspec.structs.replace(
            candidate, version=max([below, *above]) + 1, created_ms=now_ms
        )
        return self._store.write(numbered, files)

    def advance(self, manifest: WeightManifest, files: Mapping[str, VersionFile]) -> None:
        """Make a stored candidate the current version. ``StalePublish`` where another was faster.

        Its parent stays at hand for its probation.
        """
        pointer = Pointer(self.pointer.epoch if self.pointer else 1, manifest.version)
        self._store.advance(pointer)
        self.pointer, self.parent = pointer, manifest
        compared = {probation.parent for probation in self.learner.gate.probations}
        live = self.served.publish(manifest, files, compared, self.frozen_model)
        if self.frozen is None:
            self.frozen, self.frozen_model = manifest.version, live

    def roll_back(self, version: int) -> None:
        """Name ``version`` current by a new epoch. The lineage itself is to be built anew."""
        assert self.pointer is not None, "what was never published cannot be rolled back"
        self._store.advance(rolled_back(self.pointer, version))

    def set_aside(self, rejected: Rejected, files: Mapping[str, VersionFile]) -> None:
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
        steps: list[Callable[[], None]] = [partial(self._store.delete, old) for old in surplus]
        for clear in [*steps, self._store.sweep]:
            try:
                clear()
            except WeightsError:
                failed += 1
        return failed
