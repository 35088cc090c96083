"""What the trainer says of itself: one report per trained window, and status figures.

Pure: times come in. A report is written after its version is live, and the current version's once
more whenever a trainer starts, since the last one may have died between the two: readers keep the
first report of a version.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from everfresh.contracts.experiments.definition import DEFAULT
from everfresh.contracts.manifest import Rejected, WeightManifest
from everfresh.contracts.report import ComponentStatus, WindowReport
from everfresh.trainer.scoring.prequential import LIVE, METRICS, unflatten
from everfresh.trainer.scoring.window_summary import WindowSummary


class Timing(msgspec.Struct, frozen=True):
    """UTC ms at which a window was complete and its stages ended, in order."""

    closed: int
    started: int
    scored: int
    trained: int
    published: int

    @property
    def took_s(self) -> float:
        """From when training took it up to published."""
        return (self.published - self.started) / 1000

    @property
    def seconds(self) -> dict[str, float]:
        """Stage -> duration; ``read`` runs from complete to when training took it up."""
        return {
            "read": (self.started - self.closed) / 1000,
            "score": (self.scored - self.started) / 1000,
            "train": (self.trained - self.scored) / 1000,
            "publish": (self.published - self.trained) / 1000,
        }


def held_report(
    rejected: Rejected,
    window: WindowSummary,
    closed_ms: int,
    now_ms: int,
    through: dict[int, int],
    flood: int,
) -> WindowReport:
    """The report of a window that the gate held; ``published_ms`` is when it did, ``through`` how
    far the log is consumed with it."""
    return WindowReport(
        label=window.label,
        scored_version=rejected.parent,
        version=rejected.parent or 0,
        events=window.events,
        users=window.users,
        items=0,
        scores=unflatten(rejected.scores),
        appended=window.appended,
        closed_ms=closed_ms,
        published_ms=now_ms,
        seconds={},
        fresh=window.fresh,
        first=window.first,
        second=window.second,
        older=window.older,
        flood=flood,
        held=rejected.reason,
        merged=window.merged,
        measures=window.measures,
        ranked=window.ranked,
        cut=window.cut,
        refused=window.refused,
        through=through,
    )


def window_report(
    manifest: WeightManifest, window: WindowSummary, timing: Timing | None
) -> WindowReport:
    """The report of ``manifest``'s window; without ``timing`` it is one written again.

    Then ``closed_ms`` and ``published_ms`` are when the version was made, ``seconds`` is empty.
    """
    return WindowReport(
        label=window.label,
        scored_version=manifest.parent,
        version=manifest.version,
        events=window.events,
        users=window.users,
        items=manifest.items,
        scores=unflatten(manifest.scores),
        fresh=window.fresh,
        first=window.first,
        second=window.second,
        older=window.older,
        flood=manifest.flood,
        left=manifest.left,
        curated=manifest.curated,
        merged=window.merged,
        sampled=window.sampled,
        measures=window.measures,
        ranked=window.ranked,
        cut=window.cut,
        refused=window.refused,
        through=manifest.trained_through,
        appended=window.appended,
        closed_ms=timing.closed if timing else manifest.created_ms,
        published_ms=timing.published if timing else manifest.created_ms,
        seconds=timing.seconds if timing else {},
    )


class Figures(msgspec.Struct, frozen=True):
    """The trainer's figures since it started; replaced as a whole, so any thread may read them.

    ``events`` is of the whole lineage; ``backlog`` counts complete windows read ahead and
    not yet trained, ``backlog_s`` is for how long the oldest of them has waited. ``merged`` and
    ``sampled`` count windows joined with the one before or trained in part; ``events_per_s`` is of
    the last window, from when training took it up to published. ``index_look`` is how many rows a
    request looks at by the live version's index, 0 for all, and ``index_recall`` what it finds.

    Alarms: ``held`` windows that the gate kept out (``last_held`` says which and why), ``let_pass``
    after too many of them, ``rolled_back`` times a version failed its probation, ``overtaken``
    times another moved the pointer, ``workers_lost`` in mid-window, ``undeleted`` old versions,
    ``foreign`` records of the topic ``windows`` that are no slices (``last_foreign`` says where),
    ``floods``: windows that brought more new items than they may (``trainer.new_items``).
    ``refused`` counts events by which users said no (``trainer.refusals``), ``curated`` those that
    were left unlearnt (``trainer.curate``).
    ``failed`` is why the track stands still until it is tried again, empty where it does not.

    ``processor_s`` is what the windows since the start took of the trainer's process, and
    ``processor_per_window_s`` its mean; further training processes are not in it.
    """

    windows: int = 0
    version: int = 0
    backlog: int = 0
    backlog_s: float = 0.0
    merged: int = 0
    sampled: int = 0
    events_per_s: float = 0.0
    events: int = 0
    rejected: int = 0
    loss: float = 0.0
    scores: Mapping[str, float] = {}
    held: int = 0
    let_pass: int = 0
    rolled_back: int = 0
    overtaken: int = 0
    workers_lost: int = 0
    undeleted: int = 0
    foreign: int = 0
    floods: int = 0
    refused: int = 0
    curated: int = 0
    last_held: str = ""
    last_foreign: str = ""
    stage: str = "starting"
    failed: str = ""
    processor_s: float = 0.0
    processor_per_window_s: float = 0.0
    index_look: int = 0
    index_recall: float = 1.0

    @property
    def alarms(self) -> int:
        """All of them together."""
        held, lost = self.held + self.let_pass, self.overtaken + self.workers_lost
        counted = held + self.rolled_back + lost + self.undeleted + self.foreign + self.floods
        return counted + bool(self.failed)

    def live(self, manifest: WeightManifest) -> Figures:
        """With this version live."""
        return msgspec.structs.replace(
            self, version=manifest.version, events=manifest.events, scores=manifest.scores
        )

    def trained(self, manifest: WeightManifest, loss: float, events_per_s: float) -> Figures:
        """With one more window trained, whose version is live."""
        counted = msgspec.structs.replace(
            self,
            windows=self.windows + 1,
            loss=loss,
            events_per_s=events_per_s,
            merged=self.merged + max(0, len(manifest.merged) - 1),
            sampled=self.sampled + (manifest.sampled < 1.0),
            curated=self.curated + manifest.curated,
        )
        return counted.live(manifest)


TRAINER, TRACK = "trainer", "track"
"""Kinds of status: of the trainer with its default track, and of each other track."""


def status(figures: Figures, state: str, now_ms: int, track: str = DEFAULT) -> ComponentStatus:
    """The component status of these figures; ``hr10`` and ``ndcg10`` are the last live scores."""
    flat: dict[str, Any] = msgspec.structs.asdict(figures)
    measured = flat.pop("scores")
    for metric in METRICS:
        if (value := measured.get(f"{metric}_{LIVE}")) is not None:
            flat[metric] = value
    flat["alarms"], flat["standing_still"] = figures.alarms, int(bool(figures.failed))
    if track == DEFAULT:
        return ComponentStatus(TRAINER, TRAINER, now_ms, state, flat)
    return ComponentStatus(f"{TRACK}-{track}", TRACK, now_ms, state, flat)
