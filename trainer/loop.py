"""The trainer's loop: one window after another, in steps that may be cut between any two.

    | step      | does                                         | killed right before it         |
    |-----------|----------------------------------------------|--------------------------------|
    | 1 read    | take the next complete window                | read again, from the manifest  |
    | 2 score   | rank it with the version that serves (law 4) | as 1                           |
    | 3 train   | admit items, mix with replay, learn          | as 1                           |
    | 4 check   | refuse a candidate that is not finite        | as 1: trains to the same bytes |
    | 5 write   | store the candidate, immutable from then on  | as 4                           |
    | 6 advance | move the pointer to it: it is live           | the orphan is found and taken  |
    | 7 report  | report the window                            | reported at the next start     |
    | 8 tidy    | delete old versions                          | after the next window          |

A restart begins from the version that the pointer names and from nothing else (law 5). Versions
only grow: a complete version above the pointer is taken over where it equals the candidate, and
its number is left alone where it does not (law 8). A window without events moves the positions
that the next manifest names; it trains nothing and makes no version.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from contracts.errors import StalePublish, WeightsError
from contracts.manifest import Pointer, WeightManifest
from contracts.ports import Clock, ReportSink, WeightStore, WindowSource
from contracts.report import WindowReport
from contracts.settings import Settings
from contracts.window import TrainingWindow
from model.recommender import Recommender
from trainer.assemble import Assembler, Progress
from trainer.checkpoint import (
    TrainedWindow,
    candidate_manifest,
    encode_files,
    load_recommender,
    restore,
    restore_network,
    same_training,
)
from trainer.learn import (
    Outcome,
    broken,
    fresh_learner,
    fresh_network,
    remember,
    train_window,
    update_baselines,
)
from trainer.prequential import (
    FROZEN,
    LIVE,
    MARKOV,
    POPULARITY,
    Contender,
    flatten,
    fresh_targets,
    score_window,
)
from trainer.reporting import Figures, Timing, describe, window_report
from trainer.retention import removable

STEPS = ("read", "score", "train", "check", "write", "advance", "report", "tidy")

READ_AHEAD_EVENTS = 200_000
"""Events of complete windows held while training; beyond them the topic keeps the rest."""

Boundary = Callable[[str], None]
"""Called with a step's name right before it; what it raises stops the loop there, harmlessly."""


class TrainerLoop:
    """Runs the steps above over the ports it is given; one thread, no framework.

    Built anew after any failure: the constructor reads the pointer's version and seeks the source.
    """

    def __init__(
        self,
        settings: Settings,
        source: WindowSource,
        store: WeightStore,
        reports: ReportSink,
        clock: Clock,
        boundary: Boundary = lambda step: None,
    ) -> None:
        self._settings = settings
        self._source = source
        self._store = store
        self._reports = reports
        self._clock = clock
        self._boundary = boundary
        self.figures = Figures()
        self._resume()

    def step(self, timeout_ms: int) -> WindowReport | None:
        """Consume the next window; wait up to ``timeout_ms`` for records where none is complete.

        Returns the report of a window that was trained and published. ``WindowGap`` where slices
        do not tile the log, ``WeightsError`` where the store fails; both end the trainer.
        """
        window = self._read(timeout_ms)
        if window is None:
            return None
        if not window.events:
            self._pass_over(window)
            return None
        try:
            if self._store.pointer() != self._pointer:
                raise StalePublish("the pointer moved since this trainer's last publish")
            return self._consume(window)
        except StalePublish:
            # A rollback or another trainer: go on from what is live now.
            self._note(overtaken=self.figures.overtaken + 1)
            self._resume()
            return None

    def _resume(self) -> None:
        self._pointer: Pointer | None = self._store.pointer()
        self._parent: WeightManifest | None = None
        self._frozen: int | None = None
        self._frozen_model: Recommender | None = None
        self._complete: dict[int, int] = {}
        if self._pointer is None:
            self.learner = fresh_learner(self._settings)
            self.progress = Progress()
        else:
            found = restore(
                self._store, self._store.manifest(self._pointer.version), self._settings
            )
            self._parent, self.learner = found.manifest, found.learner
            self.progress, self._frozen = found.progress, found.frozen
            self._frozen_model = load_recommender(self._store, self._store.manifest(found.frozen))
            self._reports.window(window_report(found.manifest, found.window, None))
            self._note(
                version=found.manifest.version,
                events=found.manifest.events,
                scores=found.manifest.scores,
            )
        self._assembler = Assembler(self._source.partitions(), self.progress)
        self._source.seek(self.progress.reads)

    def _read(self, timeout_ms: int) -> TrainingWindow | None:
        self._enter("read")
        waiting = self._assembler.backlog
        if not waiting or self._assembler.held < READ_AHEAD_EVENTS:
            for partition, offset, record in self._source.poll(0 if waiting else timeout_ms):
                self._assembler.add(partition, offset, record)
        now = self._clock()
        for label in self._assembler.complete():
            self._complete.setdefault(label, now)
        window = self._assembler.take()
        self._note(backlog=self._assembler.backlog)
        return window

    def _pass_over(self, window: TrainingWindow) -> None:
        self._complete.pop(window.label)
        self.progress = self.progress.after(window)
        self._note(rejected=self.figures.rejected + window.rejected)

    def _consume(self, window: TrainingWindow) -> WindowReport | None:
        closed, started = self._complete[window.label], self._clock()
        self._enter("score")
        fresh = fresh_targets(window, self.learner.network.recommender.vocabulary, self._label())
        exclude_seen = self._settings.trainer.exclude_seen
        table = score_window(window, self._contenders(), exclude_seen, fresh)
        trained_on = describe(window, int(fresh.sum()))
        scored = self._clock()
        self._enter("train")
        number = self._parent.version if self._parent else 0
        outcome = train_window(
            self.learner.network, self.learner.strategy, window, self._settings, number
        )
        trained = self._clock()
        self._enter("check")
        if broken(self.learner.network, outcome):
            self._refuse(window)
            return None
        remember(self.learner, window, number)
        manifest = self._publish(window, trained_on, flatten(table))
        self._pass_over(window)
        self._note_trained(manifest, outcome)
        timing = Timing(closed, started, scored, trained, self._clock())
        self._enter("report")
        report = window_report(manifest, trained_on, timing)
        self._reports.window(report)
        self._enter("tidy")
        self._tidy()
        return report

    def _contenders(self) -> dict[str, Contender]:
        baselines: dict[str, Contender] = {
            POPULARITY: self.learner.popularity,
            MARKOV: self.learner.markov,
        }
        if self._frozen_model is None:  # no version serves yet
            return baselines
        return {LIVE: self.learner.network.recommender, FROZEN: self._frozen_model, **baselines}

    def _label(self) -> int | None:
        return self._parent.label if self._parent else None

    def _publish(
        self, window: TrainingWindow, trained: TrainedWindow, scores: dict[str, float]
    ) -> WeightManifest:
        files = encode_files(self.learner, self._frozen, trained)
        progress = self.progress.after(window)
        candidate = candidate_manifest(self._parent, progress, self.learner, trained, scores)
        self._enter("write")
        manifest = self._write(candidate, files)
        self._enter("advance")
        pointer = Pointer(self._pointer.epoch if self._pointer else 1, manifest.version)
        self._store.advance(pointer)
        self._pointer, self._parent = pointer, manifest
        if self._frozen is None:
            self._frozen = manifest.version
            self._frozen_model = load_recommender(self._store, manifest)
        return manifest

    def _write(self, candidate: WeightManifest, files: dict[str, bytes]) -> WeightManifest:
        below = candidate.parent or 0
        above = [version for version in self._store.versions() if version > below]
        for version in above:
            found = self._store.manifest(version)
            if same_training(found, candidate, files):
                return found
        numbered = msgspec.structs.replace(
            candidate, version=max([below, *above]) + 1, created_ms=self._clock()
        )
        return self._store.write(numbered, files)

    def _refuse(self, window: TrainingWindow) -> None:
        """Keep the parent's weights; the window's events stay out of weights and replay."""
        self.learner.network = (
            restore_network(self._store, self._parent, self._settings)
            if self._parent
            else fresh_network(self._settings)
        )
        update_baselines(self.learner, window)
        self._pass_over(window)
        self._note(broken=self.figures.broken + 1)

    def _tidy(self) -> None:
        manifests = [self._store.manifest(version) for version in self._store.versions()]
        pointer = self._store.pointer()
        pinned = {self._frozen, pointer.version if pointer else None}
        for version in removable(manifests, self._settings.weights.keep, pinned):
            try:
                self._store.delete(version)
            except WeightsError:
                self._note(undeleted=self.figures.undeleted + 1)

    def _enter(self, step: str) -> None:
        self._boundary(step)
        self._note(stage=step)

    def _note_trained(self, manifest: WeightManifest, outcome: Outcome) -> None:
        self._note(
            windows=self.figures.windows + 1,
            version=manifest.version,
            events=manifest.events,
            loss=outcome.loss,
            scores=manifest.scores,
        )

    def _note(self, **changes: object) -> None:
        self.figures = msgspec.structs.replace(self.figures, **changes)
