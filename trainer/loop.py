"""The trainer's loop: one window after another, in steps that may be cut between any two.

    | step       | does                                         | killed right before it         |
    |------------|----------------------------------------------|--------------------------------|
    | 1 read     | take the next complete window                | read again, from the manifest  |
    | 2 score    | rank it with the version that serves (law 4) | as 1                           |
    | 3 train    | admit items, hold out some targets, learn    | as 1                           |
    | 4 check    | measure the candidate against its parent     | as 1: trains to the same bytes |
    | 5 write    | store the candidate, immutable from then on  | as 4                           |
    | 6 advance  | move the pointer to it: it is live           | the orphan is found and taken  |
    | 7 report   | report the window                            | reported at the next start     |
    | 8 tidy     | delete old versions                          | after the next window          |
    | hold       | for 3 or 5: set it aside, keep the parent    | as 1: held again               |
    | roll back  | for 3: probation failed, a parent is live    | as 1: decided again            |

A restart begins from the version that the pointer names and from nothing else (law 5); how the
lineage goes on is in ``trainer.lineage``. A window without events moves the positions that
the next manifest names; it trains nothing and makes no version. So does one that was held.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import msgspec

from everfresh.contracts.errors import StalePublish, WorkerLost
from everfresh.contracts.experiments.track import Track
from everfresh.contracts.manifest import Rejected, WeightManifest
from everfresh.contracts.ports import Clock, ReportSink, TrainerStore, WindowSource
from everfresh.contracts.report import WindowReport
from everfresh.contracts.safetensors import VersionFile
from everfresh.contracts.settings import Settings
from everfresh.contracts.window import TrainingWindow
from everfresh.trainer.candidate_training import encode_candidate, take_in, train_candidate
from everfresh.trainer.checkpoint import encode_files
from everfresh.trainer.contents import UNKNOWN, ItemContents, KnownContents
from everfresh.trainer.gate.memory import GateMemory
from everfresh.trainer.gate.probation import failed, failing, observed
from everfresh.trainer.gate.window_checks import implausible
from everfresh.trainer.learning.learner import update_opponents
from everfresh.trainer.learning.training import TrainWindow, train_window
from everfresh.trainer.lineage import Lineage
from everfresh.trainer.scoring.paired import Paired
from everfresh.trainer.scoring.reporting import Figures, Timing, held_report, window_report
from everfresh.trainer.scoring.window_scores import ScoredWindow, score_planned
from everfresh.trainer.windows.backlog import PlannedWindow, diverted_examples, sampled_examples
from everfresh.trainer.windows.curation import curated_examples
from everfresh.trainer.windows.refusals import marked
from everfresh.trainer.windows.window_queue import WindowQueue

HOLD, ROLL_BACK = "hold", "roll back"

Boundary = Callable[[str], None]
"""Called with a step's name right before it; what it raises stops the loop there, harmlessly."""

_LOG = logging.getLogger("everfresh.trainer")


@dataclass(frozen=True)
class Consumed:
    """A window that was trained or held, and what it was scored by: settings, known items."""

    planned: PlannedWindow
    settings: Settings
    known: KnownContents


class TrainerLoop:
    """Runs the steps above over the ports it is given; one thread, no framework.

    Built anew after any failure: the constructor reads the pointer's version and seeks the source.
    ``track`` is what was declared, else it is the default track; ``contents`` are the catalogue's.
    ``consumed`` is the window that was trained or held last.
    """

    def __init__(  # noqa: PLR0913, PLR0917  (its ports, and what tests put in their place)
        self,
        settings: Settings,
        source: WindowSource,
        store: TrainerStore,
        reports: ReportSink,
        clock: Clock,
        boundary: Boundary = lambda step: None,
        train: TrainWindow = train_window,
        track: Track | None = None,
        contents: ItemContents | None = None,
    ) -> None:
        self._given = settings, track.tuning if track else None
        self._audience = track.audience if track else None
        self._rows = settings.weights.rows
        self._source = source
        self._store = store
        self._reports = reports
        self._clock = clock
        self._boundary = boundary
        self._train_window = train
        self._contents = contents
        self.figures = Figures()
        self._known = UNKNOWN
        self.consumed: Consumed | None = None
        self._resume()

    def step(self, timeout_ms: int) -> WindowReport | None:
        """Consume the next window; wait up to ``timeout_ms`` for records where none is complete.

        Returns the report of one that was published or held. ``WindowGap`` where slices do not tile
        the log, ``WeightsError`` where the store fails; both end the trainer.
        """
        planned = self._read(timeout_ms)
        if planned is None:
            return None
        window = marked(planned.window, self._settings.trainer.refusals)
        planned = PlannedWindow(window, planned.labels, planned.share)
        if not any(example.taught for example in window.examples):
            self._pass_over(window)
            return None
        try:
            if self._lineage.moved():
                raise StalePublish("the pointer moved since this trainer's last publish")
            report = self._consume(planned)
            if report is not None:
                self.consumed = Consumed(planned, self._settings, self._known)
            return report
        except StalePublish:
            # A rollback or another trainer: go on from what is live now.
            self._note(overtaken=self.figures.overtaken + 1)
        except WorkerLost as error:
            _LOG.warning("%s; the window is trained again", error)
            self._note(workers_lost=self.figures.workers_lost + 1)
        self._resume()
        return None

    def _resume(self) -> None:
        self._lineage = lineage = Lineage(self._store, *self._given)
        self._settings = lineage.settings
        self.learner, self.progress = lineage.learner, lineage.progress
        self._held_in_a_row = 0
        if lineage.parent is not None and lineage.trained is not None:
            self._reports.window(window_report(lineage.parent, lineage.trained, None))
            self.figures = self.figures.live(lineage.parent)
        tuning = self._settings.trainer
        self._queue = WindowQueue(self._source, self._store, self.progress, tuning, self._clock)

    def _read(self, timeout_ms: int) -> PlannedWindow | None:
        self._enter("read")
        planned = self._queue.read(self._lineage.number, self.progress.place, timeout_ms)
        windows, seconds = self._queue.behind()
        foreign, last_foreign = self._source.left_out()
        self._note(backlog=windows, backlog_s=seconds, foreign=foreign, last_foreign=last_foreign)
        return planned

    def _pass_over(self, window: TrainingWindow) -> None:
        self._queue.pass_over(window)
        self.progress = self.progress.after(window)
        refused = sum(sum(example.refused) for example in window.examples)
        self._note(
            rejected=self.figures.rejected + window.rejected,
            refused=self.figures.refused + refused,
        )

    def _consume(self, planned: PlannedWindow) -> WindowReport | None:
        closed, started = self._queue.complete_since(planned.window), self._clock()
        self._enter("score")
        if self._contents is not None:
            self._known = self._contents.at_end_of(planned.window.label)
        scored = self._score(planned)
        if scored.flood:
            self._alarm_flood(scored)
        trusted = self._out_of_patience(planned.window)
        if not trusted and (reason := self._doubt(scored, None)):
            return self._hold(scored, reason, {})
        # A bad version makes good windows look bad: its probation comes before the blame.
        if self._roll_back_if_failed(scored):
            return None
        if not trusted and (reason := self._doubt(scored, scored.behind) or self._feared()):
            return self._hold(scored, reason, {})
        score_end = self._clock()
        self._enter("train")
        examples = sampled_examples(planned, self._settings.trainer.seed)
        examples, diverted = diverted_examples(examples, self._audience)
        curated = 0
        if self._settings.trainer.curate:
            examples, curated = curated_examples(examples, scored.window.examples)
        candidate = train_candidate(
            self._lineage,
            scored,
            examples,
            self._settings,
            self._train_window,
            lambda: self._enter("check"),
            self._known,
        )
        trained = self._clock()
        if refused := candidate.judged.refused:
            files = encode_files(self.learner, self._lineage.frozen, scored.summary, self._rows)
            self.learner.network = self._lineage.parent_network()
            return self._hold(scored, refused, files)
        take_in(self._lineage, scored, candidate, self._settings)
        manifest = self._publish(scored, diverted, curated)
        self._pass_over(scored.window)
        timing = Timing(closed, started, score_end, trained, self._clock())
        per_s = scored.window.events / max(timing.took_s, 0.001)
        self.figures = self.figures.trained(manifest, candidate.outcome.loss, per_s)
        self._enter("report")
        report = window_report(manifest, scored.summary, timing)
        self._reports.window(report)
        self._enter("tidy")
        self._note(undeleted=self.figures.undeleted + self._lineage.tidy())
        return report

    def _score(self, planned: PlannedWindow) -> ScoredWindow:
        lineage, parent = self._lineage, self._lineage.parent
        # To the first version every item that is known at all is new: that tells nothing.
        several = parent is not None and parent.version != lineage.frozen
        return score_planned(
            planned,
            lineage.contenders(self._known.newest),
            self.learner.network.recommender.vocabulary,
            parent.label if parent and several else None,
            self._settings.trainer,
        )

    def _alarm_flood(self, scored: ScoredWindow) -> None:
        _LOG.warning(
            "window %d brings a flood of new items: %d wait until another user has used them; if "
            "they are good, raise trainer.new_items (%d)",
            scored.window.label,
            len(scored.flood),
            self._settings.trainer.new_items,
        )
        self._note(floods=self.figures.floods + 1)

    def _out_of_patience(self, window: TrainingWindow) -> bool:
        """Whether so many windows were held that this one must pass; then the gate begins anew."""
        patience = self._settings.gate.patience
        if not patience or self._held_in_a_row < patience:
            return False
        _LOG.warning("%d windows were held: window %d is trained", patience, window.label)
        self.learner.gate = GateMemory()
        self._note(let_pass=self.figures.let_pass + 1)
        return True

    def _doubt(self, scored: ScoredWindow, behind: Paired | None) -> str | None:
        return implausible(scored.window, behind, self.learner.gate.profile, self._settings.gate)

    def _feared(self) -> str | None:
        """Why windows wait until a probation is decided; ``None`` where none is being failed."""
        behind = failing(self.learner.gate.probations, self._settings.gate)
        if not behind:
            return None
        compared = behind[-1].compared
        return (
            f"version {self._lineage.number} may be rolled back: version {behind[-1].parent} would "
            f"have gained {compared.loss:.4f} more, of {compared.base / compared.n:.4f}"
        )

    def _roll_back_if_failed(self, scored: ScoredWindow) -> bool:
        """Compare with the parents on this window; go back to one where probation is failed."""
        if scored.own is None:
            return False
        gate, tuning = self.learner.gate, self._settings.trainer
        probations = observed(
            gate.probations,
            self._lineage.parents_with(self._known.newest),
            scored.judged,
            scored.own,
            tuning.exclude_seen,
        )
        self.learner.gate = msgspec.structs.replace(gate, probations=probations)
        decided = failed(probations, self._settings.gate)
        if decided is None:
            return False
        self._enter(ROLL_BACK)
        _LOG.warning(
            "rolled back from version %d to %d: %.4f of gain was lost, of %.4f",
            self._lineage.number,
            decided.parent,
            decided.compared.loss,
            decided.compared.base / decided.compared.n,
        )
        self._lineage.roll_back(decided.parent)
        self._note(rolled_back=self.figures.rolled_back + 1)
        self._resume()
        return True

    def _publish(self, scored: ScoredWindow, diverted: int, curated: int) -> WeightManifest:
        progress = self.progress.after(scored.window)
        candidate, files = encode_candidate(self._lineage, scored, progress, self._settings)
        learnt = candidate.events - diverted - curated
        candidate = msgspec.structs.replace(
            candidate, diverted=diverted, curated=curated, events=learnt
        )
        self._enter("write")
        manifest = self._lineage.write(candidate, files, self._clock())
        self._enter("advance")
        self._lineage.advance(manifest, files)
        self.learner.begin_version()
        self._note(**self.learner.network.recommender.index.figures())
        self._held_in_a_row = 0
        return manifest

    def _hold(
        self, scored: ScoredWindow, reason: str, files: Mapping[str, VersionFile]
    ) -> WindowReport:
        """Keep the parent: the window's events stay out of weights, vocabulary and memories."""
        self._enter(HOLD)
        window, now = scored.window, self._clock()
        _LOG.warning("window %d is held: %s", window.label, reason)
        rejected = Rejected(
            window.label,
            self._lineage.number or None,
            reason,
            now,
            window.events,
            window.ranges,
            scored.scores,
            cut=window.cut,
        )
        self._lineage.set_aside(rejected, files)
        update_opponents(self.learner, window)
        closed = self._queue.complete_since(window)
        self._pass_over(window)
        self._held_in_a_row += 1
        self._note(held=self.figures.held + 1, last_held=f"window {window.label}: {reason}")
        through = self.progress.through
        report = held_report(rejected, scored.summary, closed, now, through, len(scored.flood))
        self._reports.window(report)
        return report

    def _enter(self, step: str) -> None:
        self._boundary(step)
        self._note(stage=step)

    def _note(self, **changes: object) -> None:
        self.figures = msgspec.structs.replace(self.figures, **changes)
