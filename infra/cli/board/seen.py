"""What the board has seen of a run: the last windows, each component's last status, and rates.

Bounded: the last :data:`WINDOWS` windows, and components that have reported lately.
"""

from __future__ import annotations

from collections import deque

from everfresh.contracts.experiments.definition import DEFAULT
from everfresh.contracts.manifest import Pointer
from everfresh.contracts.report import ComponentStatus, WindowReport
from everfresh.infra.cli.views.follow import Rate
from everfresh.infra.cli.views.run_reports import STALE_MS

WINDOWS = 240
_REMEMBERED_MS = 600_000
"""A component that has been silent for so long is forgotten; until then it says since when it had
its versions."""


class Seen:
    """Records come in by ``window`` and ``status``; the rest is set. Not thread-safe."""

    def __init__(self) -> None:
        self.windows: deque[WindowReport] = deque(maxlen=WINDOWS)
        self.of_other_tracks: deque[WindowReport] = deque(maxlen=WINDOWS)
        self.pointer: Pointer | None = None
        self.dead_letters: int | None = None
        self.error = ""
        self._statuses: dict[str, ComponentStatus] = {}
        self._requests: dict[str, Rate] = {}

    def window(self, report: WindowReport) -> None:
        """Take a window's report by a track; one that was written again is the first one."""
        kept = self.windows if report.track == DEFAULT else self.of_other_tracks
        if not any((one.place, one.track) == (report.place, report.track) for one in kept):
            kept.append(report)

    def status(self, status: ComponentStatus) -> None:
        """Take the newest status of a component."""
        self._statuses[status.component] = status
        if status.kind == "replica":
            rate = self._requests.setdefault(status.component, Rate())
            rate.add(status.time / 1000, int(status.figures.get("requests") or 0))
        for name in [
            name
            for name, known in self._statuses.items()
            if status.time - known.time > _REMEMBERED_MS
        ]:
            del self._statuses[name]
            self._requests.pop(name, None)

    def components(self, kind: str, now_ms: int | None = None) -> list[ComponentStatus]:
        """Those of a kind, by name; with ``now_ms`` those that run and have reported lately."""
        return sorted(
            (
                status
                for status in self._statuses.values()
                if status.kind == kind
                and (
                    now_ms is None
                    or (status.state != "stopped" and now_ms - status.time <= STALE_MS)
                )
            ),
            key=lambda status: status.component,
        )

    def requests_per_s(self, replica: str) -> float:
        """Requests that a replica has answered lately, per second."""
        rate = self._requests.get(replica)
        return rate.per_s if rate else 0.0
