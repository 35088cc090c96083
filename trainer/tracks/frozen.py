"""A frozen track, as the trainer scores it: it learns nothing, and is ranked on every window.

It has no place of its own in the log. Each window that the default track has consumed is ranked by
the frozen version too, after the default track's turn, so that it delays no version: as replicas
answer with it, with a tail and cold items as the default track's has them. What is not scored,
since the trainer was away or the version could not be read, is not made up for.
"""

from __future__ import annotations

import logging
import time

import msgspec

from everfresh.contracts.errors import EverfreshError
from everfresh.contracts.experiments.track import Track
from everfresh.contracts.manifest import Pointer, WeightManifest
from everfresh.contracts.ports import ReportSink, WeightStore
from everfresh.contracts.report import ComponentStatus
from everfresh.model.cold_items import WithCold
from everfresh.model.recommender import Recommender
from everfresh.trainer.checkpoint import load_served
from everfresh.trainer.loop import Consumed
from everfresh.trainer.scoring.prequential import LIVE, Served
from everfresh.trainer.scoring.reporting import Figures, status, window_report
from everfresh.trainer.scoring.window_scores import score_planned

_LOG = logging.getLogger("everfresh.trainer")


class FrozenTrack:
    """Used by one thread; ``status`` by any."""

    def __init__(self, track: Track, store: WeightStore, reports: ReportSink) -> None:
        self.track = track
        self._store = store
        self._reports = reports
        self._loaded: tuple[Pointer, WeightManifest, Recommender] | None = None
        self._processor_s, self._scored = 0.0, 0
        self._figures = Figures(stage="frozen")

    def score(self, consumed: Consumed) -> None:
        """Rank a window with what replicas serve, and report it. Raises nothing."""
        before = time.process_time()
        try:
            self._score(consumed)
        except Exception as error:
            if str(error) != self._figures.failed:
                unexpected = None if isinstance(error, EverfreshError) else error
                _LOG.error(
                    "frozen track %s is not scored: %s: %s",
                    self.track.name,
                    type(error).__name__,
                    error,
                    exc_info=unexpected,
                )
            self._loaded = None
            self._figures = msgspec.structs.replace(self._figures, failed=str(error))
            return
        self._scored += 1
        self._processor_s += time.process_time() - before
        self._figures = msgspec.structs.replace(
            self._figures,
            failed="",
            processor_s=round(self._processor_s, 3),
            processor_per_window_s=round(self._processor_s / self._scored, 4),
        )

    def status(self, state: str, now_ms: int) -> ComponentStatus:
        """The track's word on itself."""
        figures = self._figures
        said = "failed" if figures.failed and state == "running" else state
        return status(figures, said, now_ms, self.track.name)

    def _score(self, consumed: Consumed) -> None:
        settings = consumed.settings
        manifest, model = self._version(settings.trainer.device)
        if model is None or manifest is None:
            return  # it never had a version
        served = Served(WithCold(model, consumed.known.newest), settings.serving.tail, None)
        scored = score_planned(
            consumed.planned,
            {LIVE: served},
            model.vocabulary,
            manifest.label,
            settings.trainer,
        )
        # What its manifest says of the window that it was made of is not said of this one.
        told = msgspec.structs.replace(
            manifest, scores=scored.scores, flood=len(scored.flood), left=0, curated=0
        )
        report = msgspec.structs.replace(
            window_report(told, scored.summary, None),
            scored_version=manifest.version,
            track=self.track.name,
        )
        self._reports.window(report)
        self._figures = self._figures.live(told)

    def _version(self, device: str) -> tuple[WeightManifest | None, Recommender | None]:
        pointer = self._store.pointer()
        if pointer is None:
            return None, None
        if self._loaded is None or self._loaded[0] != pointer:
            manifest = self._store.manifest(pointer.version)
            self._loaded = pointer, manifest, load_served(self._store, manifest).to(device)
        return self._loaded[1:]
