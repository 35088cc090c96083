"""What a run has reported of itself so far, put together for the views. Pure: records come in."""

from __future__ import annotations

from everfresh.contracts.experiments.definition import DEFAULT
from everfresh.contracts.report import ComponentStatus, WindowReport
from everfresh.infra.cli.views.freshness import LiveVersions, weighted_quantile, window_freshness

STALE_MS = 10_000
"""A component without a status for so long is taken to have gone."""


class RunReports:
    """Gets the records of the ``status`` and ``reports`` topics, in the order of their logs.

    ``windows`` are all of them or, for a run without end, the last ``most``.
    """

    def __init__(self, replicas: int, most: int | None = None) -> None:
        self.windows: list[WindowReport] = []
        self.trained = 0
        """Windows in all."""
        self.live = LiveVersions(replicas, most)
        self._most = most
        self._events = self._version = 0
        self._components: dict[str, ComponentStatus] = {}
        self._places: set[tuple[int, int]] = set()

    def status(self, record: ComponentStatus) -> None:
        """Take the newest status of a component."""
        self._components[record.component] = record
        if record.kind != "replica":
            return
        if record.state == "stopped":
            self.live.gone(record.component)
        else:
            version = _integer(record.figures.get("version"))
            since = _integer(record.figures.get("live_since_ms"))
            self.live.seen(record.component, record.time, version, since)

    def window(self, report: WindowReport) -> None:
        """Take a window's report by the default track; one that was written again counts once."""
        if report.track == DEFAULT and report.place not in self._places:
            self._places.add(report.place)
            self.windows.append(report)
            self.trained += 1
            self._events += report.events
            self._version = max(self._version, report.version)
            if self._most is not None and len(self.windows) > self._most:
                self._places.discard(self.windows.pop(0).place)

    def components(self, kind: str, now_ms: int | None = None) -> list[ComponentStatus]:
        """Those of a kind that have not stopped and, with ``now_ms``, have reported lately."""
        return sorted(
            (
                status
                for status in self._components.values()
                if status.kind == kind
                and status.state != "stopped"
                and (now_ms is None or now_ms - status.time <= STALE_MS)
            ),
            key=lambda status: status.component,
        )

    def total(self, kind: str, figure: str, now_ms: int | None = None) -> int:
        """A figure summed over the components of a kind."""
        components = self.components(kind, now_ms)
        return sum(_integer(status.figures.get(figure)) or 0 for status in components)

    def trained_events(self) -> int:
        """Events of all trained windows."""
        return self._events

    def version(self) -> int:
        """The newest version that was trained; 0 before the first."""
        return self._version

    def version_everywhere(self, now_ms: int | None = None) -> int:
        """The newest version that every replica has been seen with; 0 before the first.

        With ``now_ms``, of those that have reported lately: one that was killed does not say so.
        """
        replicas = self.components("replica", now_ms)
        versions = [_integer(status.figures.get("version")) or 0 for status in replicas]
        return min(versions, default=0)

    def freshness_pending(self) -> bool:
        """Whether the newest version is not yet live everywhere, so freshness is incomplete."""
        return self.live.everywhere_since(self.version()) is None

    def freshness(self, *shares: float) -> list[float | None]:
        """Quantiles, in seconds, over events of ``windows`` whose version is live everywhere."""
        samples = sorted(
            sample for report in self.windows for sample in window_freshness(report, self.live)
        )
        return [weighted_quantile(samples, share) for share in shares]


def what_happened(report: WindowReport) -> str:
    """What the gate, a rollback or a backlog did with a window."""
    words = [f"held: {report.held}" if report.held else "trained"]
    if report.flood:
        words.append(f"a flood: {report.flood:,} new items wait for another user")
    if report.left:
        words.append(f"first after the rollback from version {report.left}")
    if report.merged:
        words.append(f"{len(report.merged)} windows as one")
    if report.refused:
        words.append(f"{report.refused:,} refusals are context alone")
    if report.ranked:
        words.append(f"ranked {report.ranked:,} of {report.events:,} events")
    if report.curated:
        words.append(f"{report.curated:,} events are left unlearnt")
    if report.sampled < 1.0:
        words.append(f"{report.sampled:.0%} of its examples")
    return ", ".join(words)


def _integer(value: object) -> int | None:
    return int(value) if isinstance(value, (int, float)) else None
