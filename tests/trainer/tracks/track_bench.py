"""A bench over which several tracks are trained, as one trainer would."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from everfresh.adapters.memory import MemoryWindowSource
from everfresh.contracts.experiments.definition import DEFAULT
from everfresh.contracts.experiments.track import Track
from everfresh.contracts.manifest import WeightManifest
from everfresh.contracts.ports import ReportSink, WindowSource
from everfresh.contracts.settings import load_settings
from everfresh.trainer.loop import TrainerLoop
from everfresh.trainer.tracks.copying import start_track
from everfresh.trainer.tracks.schedule import TrackSchedule
from tests.trainer.bench import Bench, content
from tests.trainer.logs import make_log
from tests.trainer.small_settings import SMALL

LABELS = [3, 4, 6, 7, 9]

Blow = Callable[[str, TrainerLoop | None, str], None]
"""Called with a track's name and loop before each step; what it raises strikes there."""


def nothing(track: str, loop: TrainerLoop | None, step: str) -> None:
    """No blow."""


class TrackBench(Bench):
    """``part`` of the log is what there is for now."""

    def __init__(self, home: Path, labels: list[int] | None = None) -> None:
        settings = load_settings({"home": str(home), **SMALL})
        self.whole = make_log(2, labels or LABELS)
        super().__init__({number: [] for number in self.whole}, settings)
        self.blow: Blow = nothing

    def reveal(self, windows: int) -> None:
        """Let the log hold its first so many windows; see ``make_log``: one slice, two records."""
        for number, records in self.whole.items():
            labels = sorted({record.label for record in records})[:windows]
            self.log[number][:] = [record for record in records if record.label in labels]

    def schedule(self, only: str | None = None) -> TrackSchedule:
        """A new trainer over what store and log hold, of all tracks or of one."""
        loops: dict[str, TrainerLoop] = {}

        def start(track: Track | None, source: WindowSource, reports: ReportSink) -> TrainerLoop:
            name = track.name if track else DEFAULT
            loops.pop(name, None)
            loops[name] = TrainerLoop(
                self.settings,
                source,
                self.tracks.store(name),
                reports,
                lambda: next(self._ticks),
                lambda step: self.blow(name, loops.get(name), step),
                track=track,
            )
            return loops[name]

        def open_source() -> AbstractContextManager[WindowSource]:
            return nullcontext(MemoryWindowSource(self.log))

        schedule = TrackSchedule(self.tracks, start, open_source, self.reports, only)
        schedule.open()
        return schedule

    def run_tracks(self, schedule: TrackSchedule | None = None) -> TrackSchedule:
        """Go on until nothing is trained any more."""
        schedule = schedule or self.schedule()
        for _ in range(3 * len(LABELS)):
            schedule.round(0)
        return schedule

    def start_track(self, name: str, origin: str = "default", **tuning: Any) -> Track:
        """From a track's current version, with settings such as ``trainer__seed``."""
        named = {key.replace("__", "."): value for key, value in tuning.items()}
        source = None if origin == "nothing" else (origin, None)
        return start_track(self.tracks, name, source, named, self.settings, 5)

    def manifests(self, track: str) -> list[WeightManifest]:
        """Those of all versions of a track."""
        store = self.tracks.store(track)
        return [store.manifest(version) for version in store.versions()]

    def contents(self, track: str, after: int = 0) -> list[tuple[Any, ...]]:
        """All of the versions after a number but the time of their making."""
        return [content(each) for each in self.manifests(track) if each.version > after]
