"""A ``ReportSink`` that also writes what the trainer reports of a window as spans.

    window                     from the window's first event to its end here
      version                  of each track: from when the window was complete to published
        read, score, train, publish
      hold                     in place of a version, where the gate held the window

Times are those of the report, which a window has once it is consumed: a trainer that is killed
before has written no span of it, and after its restart trains to a version of the same name. The
report that every start writes again tells no times, and makes no spans.
"""

from __future__ import annotations

from itertools import pairwise

from everfresh.adapters.observe.tracing.spans import Attributes, Spans
from everfresh.contracts.experiments.definition import DEFAULT
from everfresh.contracts.ports import ReportSink
from everfresh.contracts.report import ComponentStatus, WindowReport
from everfresh.contracts.window import Place


class TracedReports:
    """Passes every report on to ``sink``. Used by the trainer's thread."""

    def __init__(self, sink: ReportSink, spans: Spans) -> None:
        self._sink = sink
        self._spans = spans

    def status(self, status: ComponentStatus) -> None:
        """See the port."""
        self._sink.status(status)

    def window(self, report: WindowReport) -> None:
        """See the port."""
        if report.seconds or report.held:
            self._write(report)
        self._sink.window(report)

    def close(self) -> None:
        """Send what waits, for a second at most. The sink stays open; its owner closes it."""
        self._spans.close()

    def _write(self, report: WindowReport) -> None:
        if report.track == DEFAULT:
            for place in _merged(report):
                self._write_window(report, place, report.closed_ms)
            first_ms = report.appended[0] if report.appended else report.closed_ms
            self._write_window(report, report.place, min(first_ms, report.closed_ms))
        if report.held:
            self._write_hold(report)
        else:
            self._write_version(report)

    def _write_window(self, report: WindowReport, place: Place, began_ms: int) -> None:
        window = self._spans.window(place)
        if window is None:
            return
        version = None
        if place != report.place and not report.held:
            version = self._spans.version(report.place, report.track, report.version)
        attributes = {
            "everfresh.window.label": place[0],
            "everfresh.window.cut": place[1],
            # Of windows that were merged, the last one tells how many events all have.
            **({"everfresh.events": report.events} if place == report.place else {}),
        }
        times_ms = began_ms, report.published_ms
        links = [] if version is None else [version]
        self._spans.write("window", times_ms, attributes, own=window, links=links)

    def _write_hold(self, report: WindowReport) -> None:
        window = self._spans.window(report.place)
        if window is not None:
            attributes = {**_told(report), "everfresh.held": report.held}
            times_ms = report.closed_ms, report.published_ms
            self._spans.write("hold", times_ms, attributes, parent=window)

    def _write_version(self, report: WindowReport) -> None:
        window = self._spans.window(report.place)
        version = self._spans.version(report.place, report.track, report.version)
        if window is None or version is None:
            return
        others = [each for place in _merged(report) if (each := self._spans.window(place))]
        times_ms = report.closed_ms, report.published_ms
        attributes = _told(report)
        if report.scored_version is not None:
            attributes = {**attributes, "everfresh.parent": report.scored_version}
        self._spans.write("version", times_ms, attributes, parent=window, own=version, links=others)
        ends = [float(report.closed_ms)]
        for seconds in report.seconds.values():
            ends.append(ends[-1] + seconds * 1000)
        for stage, stage_ms in zip(report.seconds, pairwise(ends), strict=True):
            self._spans.write(stage, stage_ms, {"everfresh.track": report.track}, parent=version)


def _merged(report: WindowReport) -> list[Place]:
    """The windows that were trained as one with the report's, by their first cuts."""
    return sorted({(label, 0) for label in report.merged} - {report.place})


def _told(report: WindowReport) -> Attributes:
    return {
        "everfresh.track": report.track,
        "everfresh.version": report.version,
        "everfresh.events": report.events,
        "everfresh.window.label": report.label,
        "everfresh.window.cut": report.cut,
    }
