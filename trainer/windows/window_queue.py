"""Complete windows from the topic, taken by the backlog setting, and how long they waited."""

from __future__ import annotations

from everfresh.contracts.ports import Clock, TrainerStore, WindowSource
from everfresh.contracts.settings import TrainerSettings
from everfresh.contracts.window import Place, TrainingWindow
from everfresh.trainer.windows.assemble import Assembler, Progress
from everfresh.trainer.windows.backlog import Backlog, PlannedWindow

READ_AHEAD_EVENTS = 200_000
"""Events of complete windows held while training; beyond them the topic keeps the rest."""


class WindowQueue:
    """Reads from ``progress`` on; built anew wherever the trainer goes on from another version."""

    def __init__(
        self,
        source: WindowSource,
        store: TrainerStore,
        progress: Progress,
        settings: TrainerSettings,
        clock: Clock,
    ) -> None:
        self._source = source
        self._clock = clock
        self._assembler = Assembler(source.partitions(), progress)
        self._backlog = Backlog(self._assembler, store, settings)
        self._left_out = frozenset(settings.leave_out)
        self._complete: dict[Place, int] = {}
        self._short = False  # of windows that are planned for: only the topic has them
        source.seek(progress.reads)

    def read(self, version: int, place: Place | None, timeout_ms: int) -> PlannedWindow | None:
        """What is trained next from ``version`` on, with all up to ``place`` consumed.

        Waits up to ``timeout_ms`` for records where nothing is complete, or less than is planned.
        ``WindowGap`` where slices do not tile the log.
        """
        idle = self._short or not self._assembler.backlog
        if idle or self._assembler.held < READ_AHEAD_EVENTS:
            for partition, offset, record in self._source.poll(timeout_ms if idle else 0):
                if f"{partition}:{offset}" not in self._left_out:
                    self._assembler.add(partition, offset, record)
        now = self._clock()
        for complete in self._assembler.complete():
            self._complete.setdefault(complete, now)
        planned = self._backlog.take(version, place)
        self._short = planned is None
        return planned

    def complete_since(self, window: TrainingWindow) -> int:
        """UTC ms at which this queue knew the window, or the first of those in it, complete."""
        return min(ms for place, ms in self._complete.items() if place <= window.place)

    def pass_over(self, window: TrainingWindow) -> None:
        """The window is consumed, trained or not."""
        self._complete = {place: ms for place, ms in self._complete.items() if place > window.place}

    def behind(self) -> tuple[int, float]:
        """Complete windows not taken yet, and for how many seconds the oldest has waited."""
        left = self._assembler.complete()
        waited = (self._clock() - self._complete[left[0]]) / 1000 if left else 0.0
        return len(left), waited
