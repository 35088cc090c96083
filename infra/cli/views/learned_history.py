"""How far the trainer has come with a stretch of history, from its window reports. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import RenderableType

from everfresh.contracts.report import WindowReport
from everfresh.infra.cli.views.scores import CONTENDERS, mean_score, scored
from everfresh.infra.cli.views.tables import described, new_table
from everfresh.infra.cli.views.text import score

_ROWS = 10
_LATELY = 8
_SHOWN = tuple(name for name in CONTENDERS if name != "frozen")


class LearnedHistory:
    """``starts`` and ``ends`` are offsets between which the history stands, by partition.

    Between the two may stand events that came while the history did; they count as part of it.
    """

    def __init__(self, starts: Mapping[int, int], ends: Mapping[int, int]) -> None:
        self._starts = dict(starts)
        self._ends = dict(ends)
        self.total = sum(end - starts.get(partition, 0) for partition, end in ends.items())
        self.consumed = 0
        self.windows: list[WindowReport] = []
        self._points: list[tuple[int, int]] = []  # when a window was published, and consumed then
        self._read = 0

    @property
    def done(self) -> bool:
        """Whether all of it has been trained, or held by the gate."""
        return self.consumed >= self.total

    @property
    def held(self) -> int:
        """Windows that the gate kept out."""
        return sum(bool(report.held) for report in self.windows)

    @property
    def events(self) -> int:
        """Events of the windows that were not held."""
        return sum(report.events for report in self.windows if not report.held)

    @property
    def version(self) -> int:
        """The version after the last window; 0 before the first."""
        return self.windows[-1].version if self.windows else 0

    def take(self, reports: Sequence[WindowReport]) -> None:
        """All reports so far, oldest first; those that were taken before are passed over."""
        for report in reports[self._read :]:
            if self.done:
                break
            consumed = self._consumed(report)
            if consumed > self.consumed:
                self.consumed = consumed
                self.windows.append(report)
                self._points.append((report.published_ms, consumed))
        self._read = len(reports)

    def left_s(self) -> float | None:
        """Seconds that the rest takes, by the last windows; ``None`` while that cannot be told."""
        points = self._points[-_LATELY:]
        if len(points) < 2 or points[-1][0] <= points[0][0]:
            return None
        took_s = (points[-1][0] - points[0][0]) / 1000
        return took_s * (self.total - self.consumed) / (points[-1][1] - points[0][1])

    def table(self) -> RenderableType:
        """HR@10 of who was measured, over the history in ten parts."""
        figures = ("windows", "events", *_SHOWN)
        table = new_table(*figures, right=figures)
        measured = scored(self.windows)
        size = -(-len(measured) // _ROWS) or 1
        for at in range(0, len(measured), size):
            part = measured[at : at + size]
            means = [score(mean_score(part, name, "hr10")) for name in _SHOWN]
            events = f"{sum(report.events for report in part):,}"
            table.add_row(f"{at + 2} to {at + len(part) + 1}", events, *means)
        note = (
            "HR@10: the share of events whose item was among the ten ranked highest, before "
            "training on their window; more is better. Before the first window there was nothing "
            "to measure."
        )
        return described("Quality over the history, oldest first", table, note)

    def _consumed(self, report: WindowReport) -> int:
        """Events of the history up to this window."""
        return sum(
            max(0, min(report.through.get(partition, 0), end) - self._starts.get(partition, 0))
            for partition, end in self._ends.items()
        )
