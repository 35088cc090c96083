"""The trainer's loop: one window after another, in steps that may be cut between any two.

    | step       | does                                         | killed right before it         |
    |------------|----------------------------------------------|--------------------------------|
    | 1 read     | take the next complete window                | read again, from the manifest  |
    | 2 score    | rank it with the version that serves (law 4) | as 1                           |
    | 3 train    | admit items, hold back some targets, learn   | as 1                           |
    | 4 check    | measure the candidate against its parent     | as 1: trains to the same bytes |
    | 5 write    | store the candidate, immutable from then on  | as 4                           |
    | 6 advance  | move the pointer to it: it is live           | the orphan is found and taken  |
    | 7 report   | report the window                            | reported at the next start     |
    | 8 tidy     | delete old versions                          | after the next window          |
    | hold       | for 3 or 5: set it aside, keep the parent    | as 1: held again               |
    | roll back  | for 3: a parent that won its trial is live   | as 1: decided again            |

A restart begins from the version that the pointer names and from nothing else (law 5); how the
line of versions goes on is in ``trainer.lineage``. A window without events moves the positions that
the next manifest names; it trains nothing and makes no version. So does one that was held.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

import msgspec

from everfresh.contracts.errors import StalePublish, WorkerLost
from everfresh.contracts.manifest import Rejected, WeightManifest
from everfresh.contracts.ports import Clock, ReportSink, TrainerStore, WindowSource
from everfresh.contracts.report import WindowReport
from everfresh.contracts.settings import Settings
from everfresh.contracts.window import DecodedExample, TrainingWindow
from everfresh.trainer.checkpoint import candidate_manifest, encode_files
from everfresh.trainer.distributed.jobs import Train
from everfresh.trainer.gate.candidate import GateMemory, judge, measure
from everfresh.trainer.gate.paired import Paired
from everfresh.trainer.gate.probation import going_on, hear, lost
from everfresh.trainer.learning.training import (
    Outcome,
    broken,
    remember,
    train_window,
    update_baselines,
)
from everfresh.trainer.lineage import Line
from everfresh.trainer.scoring.prequential import LIVE
from everfresh.trainer.scoring.reporting import Figures, Timing, held_report, window_report
from everfresh.trainer.scoring.window_scores import Scored, score
from everfresh.trainer.windows.backlog import Taken, sampled
from everfresh.trainer.windows.holdout import Lesson, prepare
from everfresh.trainer.windows.window_checks import implausible
from everfresh.trainer.windows.window_queue import Reader

STEPS = ("read", "score", "train", "check", "write", "advance", "report", "tidy")
HOLD, ROLL_BACK = "hold", "roll back"

Boundary = Callable[[str], None]
"""Called with a step's name right before it; what it raises stops the loop there, harmlessly."""

_LOG = logging.getLogger("everfresh.trainer")


class TrainerLoop:
    """Runs the steps above over the ports it is given; one thread, no framework.

    Built anew after any failure: the constructor reads the pointer's version and seeks the source.
    """

    def __init__(
        self,
        settings: Settings,
        source: WindowSource,
        store: TrainerStore,
        reports: ReportSink,
        clock: Clock,
        boundary: Boundary = lambda step: None,
        train: Train = train_window,
    ) -> None:
        self._settings = settings
        self._rows = settings.weights.rows
        self._source = source
        self._store = store
        self._reports = reports
        self._clock = clock
        self._boundary = boundary
        self._train_window = train
        self.figures = Figures()
        self._resume()

    def step(self, timeout_ms: int) -> WindowReport | None:
        """Consume the next window; wait up to ``timeout_ms`` for records where none is complete.

        Returns the report of one that was published or held. ``WindowGap`` where slices do not tile
        the log, ``WeightsError`` where the store fails; both end the trainer.
        """
        taken = self._read(timeout_ms)
        if taken is None:
            return None
        if not taken.window.events:
            self._pass_over(taken.window)
            return None
        try:
            if self._line.moved():
                raise StalePublish("the pointer moved since this trainer's last publish")
            return self._consume(taken)
        except StalePublish:
            # A rollback or another trainer: go on from what is live now.
            self._note(overtaken=self.figures.overtaken + 1)
        except WorkerLost as error:
            _LOG.warning("%s; the window is trained again", error)
            self._note(workers_lost=self.figures.workers_lost + 1)
        self._resume()
        return None

    def _resume(self) -> None:
        self._line = line = Line(self._store, self._settings)
        self.learner, self.progress = line.learner, line.progress
        self._held_in_a_row = 0
        if line.parent is not None and line.trained is not None:
            self._reports.window(window_report(line.parent, line.trained, None))
            self.figures = self.figures.live(line.parent)
        tuning = self._settings.trainer
        self._reader = Reader(self._source, self._store, self.progress, tuning, self._clock)

    def _read(self, timeout_ms: int) -> Taken | None:
        self._enter("read")
        taken = self._reader.read(self._line.number, self.progress.label, timeout_ms)
        windows, seconds = self._reader.behind()
        self._note(backlog=windows, backlog_s=seconds)
        return taken

    def _pass_over(self, window: TrainingWindow) -> None:
        self._reader.pass_over(window)
        self.progress = self.progress.after(window)
        self._note(rejected=self.figures.rejected + window.rejected)

    def _consume(self, taken: Taken) -> WindowReport | None:
        closed, started = self._reader.complete_since(taken.window), self._clock()
        self._enter("score")
        scored = score(taken, self._line, self._settings.trainer.exclude_seen)
        trusted = self._out_of_patience(taken.window)
        if not trusted and (reason := self._doubt(scored, None)):
            return self._hold(scored, reason, {})
        # A bad version makes good windows look bad: its trial comes before the blame.
        if self._roll_back_if_lost(scored):
            return None
        if not trusted and (reason := self._doubt(scored, scored.behind)):
            return self._hold(scored, reason, {})
        score_end = self._clock()
        self._enter("train")
        lesson, reason, outcome = self._train(scored, sampled(taken, self._settings.trainer.seed))
        trained = self._clock()
        if reason:
            files = encode_files(self.learner, self._line.frozen, scored.about, self._rows)
            self.learner.network = self._line.parent_network()
            return self._hold(scored, reason, files)
        self._learn(scored, lesson)
        manifest = self._publish(scored)
        self._pass_over(scored.window)
        timing = Timing(closed, started, score_end, trained, self._clock())
        per_s = scored.window.events / max(timing.took_s, 0.001)
        self.figures = self.figures.trained(manifest, outcome.loss, per_s)
        self._enter("report")
        report = window_report(manifest, scored.about, timing)
        self._reports.window(report)
        self._enter("tidy")
        self._note(undeleted=self.figures.undeleted + self._line.tidy())
        return report

    def _out_of_patience(self, window: TrainingWindow) -> bool:
        """Whether so many windows were held that this one must pass; then the gate begins anew."""
        patience = self._settings.gate.patience
        if not patience or self._held_in_a_row < patience:
            return False
        _LOG.warning("%d windows were held: window %d is trained", patience, window.label)
        self.learner.gate = GateMemory()
        self._note(let_pass=self.figures.let_pass + 1)
        return True

    def _doubt(self, scored: Scored, behind: Paired | None) -> str | None:
        return implausible(scored.window, behind, self.learner.gate.profile, self._settings.gate)

    def _roll_back_if_lost(self, scored: Scored) -> bool:
        """Hear the trials on this window; go back where a parent has won its own."""
        if LIVE not in scored.ranks:
            return False
        gate, tuning = self.learner.gate, self._settings.trainer
        trials = hear(
            gate.trials,
            self._line.parents,
            scored.window,
            scored.ranks[LIVE],
            tuning.exclude_seen,
            tuning.seed,
        )
        self.learner.gate = msgspec.structs.replace(gate, trials=trials)
        trial = lost(trials, self._settings.gate)
        if trial is None:
            return False
        self._enter(ROLL_BACK)
        _LOG.warning(
            "rolled back from version %d to %d: %.4f of gain was lost, of %.4f",
            self._line.number,
            trial.parent,
            trial.compared.loss,
            trial.compared.base / trial.compared.n,
        )
        self._line.roll_back(trial.parent)
        self._note(rolled_back=self.figures.rolled_back + 1)
        self._resume()
        return True

    def _train(
        self, scored: Scored, examples: list[DecodedExample]
    ) -> tuple[Lesson, str | None, Outcome]:
        """Train the candidate; the reason is why it must not be published."""
        tuning, network = self._settings.trainer, self.learner.network
        part = msgspec.structs.replace(scored.window, examples=examples)
        lesson = prepare(part, self.learner.gate.held, self._settings.gate, tuning.seed)
        trusted = self._line.parent and self.learner.gate != GateMemory()
        measured = measure(network.recommender, lesson) if trusted else None
        outcome = self._train_window(
            network,
            self.learner.strategy,
            lesson.window,
            self._settings,
            self._line.number,
            scored.window.examples,
        )
        self._enter("check")
        reason = broken(network, outcome)
        if reason is None and measured is not None:
            reason = judge(network.recommender, measured, self._settings.gate)
        return lesson, reason, outcome

    def _learn(self, scored: Scored, lesson: Lesson) -> None:
        """Let memories take in what was trained; what they hold goes into the checkpoint."""
        remember(self.learner, lesson.window, self._line.number, scored.window)
        gate = self.learner.gate
        parent = self._line.parent.version if self._line.parent else None
        self.learner.gate = GateMemory(
            lesson.kept,
            gate.profile.after(scored.window, scored.behind),
            going_on(gate.trials, parent, self._settings.gate),
        )

    def _publish(self, scored: Scored) -> WeightManifest:
        line = self._line
        files = encode_files(self.learner, line.frozen, scored.about, self._rows)
        candidate = candidate_manifest(
            line.parent,
            self.progress.after(scored.window),
            self.learner,
            scored.about,
            scored.scores,
            line.pointer.left if line.pointer else 0,
            self._rows,
        )
        self._enter("write")
        manifest = line.write(candidate, files, self._clock())
        self._enter("advance")
        line.advance(manifest, files)
        self._held_in_a_row = 0
        return manifest

    def _hold(self, scored: Scored, reason: str, files: Mapping[str, bytes]) -> WindowReport:
        """Keep the parent: the window's events stay out of weights, vocabulary and memories."""
        self._enter(HOLD)
        window, now = scored.window, self._clock()
        _LOG.warning("window %d is held: %s", window.label, reason)
        rejected = Rejected(
            window.label,
            self._line.number or None,
            reason,
            now,
            window.events,
            window.ranges,
            scored.scores,
        )
        self._line.set_aside(rejected, files)
        update_baselines(self.learner, window)
        closed = self._reader.complete_since(window)
        self._pass_over(window)
        self._held_in_a_row += 1
        self._note(held=self.figures.held + 1, last_held=f"window {window.label}: {reason}")
        report = held_report(rejected, scored.about, closed, now)
        self._reports.window(report)
        return report

    def _enter(self, step: str) -> None:
        self._boundary(step)
        self._note(stage=step)

    def _note(self, **changes: object) -> None:
        self.figures = msgspec.structs.replace(self.figures, **changes)
