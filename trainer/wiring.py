"""Which adapters stand behind the trainer's ports: Kafka for windows and reports, any fsspec store.

Called in the process that trains. The only file of this package that names these adapters.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack, closing

import msgspec

from everfresh.adapters.kafka.admin import cluster_id
from everfresh.adapters.kafka.items.reading import KafkaItemSource
from everfresh.adapters.kafka.report_sink import KafkaReportSink
from everfresh.adapters.kafka.rights import TRAINER, require_rights
from everfresh.adapters.kafka.window_source import KafkaWindowSource
from everfresh.adapters.observe.tracing.variables import take_variables
from everfresh.adapters.weights.tracks import FsspecTracks
from everfresh.contracts.experiments.definition import DEFAULT
from everfresh.contracts.ports import ReportSink
from everfresh.contracts.report import ComponentStatus, WindowReport
from everfresh.contracts.settings import Settings
from everfresh.trainer.contents import ItemContents
from everfresh.trainer.metrics import metered
from everfresh.trainer.run import TrainerPorts

_CLOSE_S = 1.0


class _OfHome:
    """A ``ReportSink`` whose statuses say which home the trainer is of."""

    def __init__(self, sink: ReportSink, place: str) -> None:
        self._sink = sink
        self._place = place

    def window(self, report: WindowReport) -> None:
        """See the port."""
        self._sink.window(report)

    def status(self, status: ComponentStatus) -> None:
        """See the port."""
        self._sink.status(msgspec.structs.replace(status, place=self._place))


def open_ports(
    settings: Settings,
    only: str | None = None,
    place: str = "",
    traces: Mapping[str, str] | None = None,
) -> TrainerPorts:
    """Connect; ``only`` names the track that the process trains, if it is one alone. ``place`` is
    the home of the process that started the trainer, which may run on another node; ``traces`` are
    that process's variables of OpenTelemetry.
    ``SettingsError`` or ``Unreachable`` with one line where that cannot be."""
    tracks = FsspecTracks(settings)
    take_variables(traces or {})
    tracks.store(DEFAULT)  # which refuses keys that are none
    require_rights(TRAINER, settings)
    brokers, prefix = settings.kafka.brokers, settings.kafka.topic_prefix
    with ExitStack() as opened:
        reports = KafkaReportSink(brokers, prefix)
        opened.callback(reports.close, _CLOSE_S)
        with_traces = _traced(reports, settings, opened, only or DEFAULT)
        with_metrics = metered(with_traces, settings, only)
        opened.callback(with_metrics.close)
        contents = ItemContents(lambda begin: KafkaItemSource(brokers, prefix, begin), settings)
        opened.callback(contents.close)
        return TrainerPorts(
            lambda: closing(KafkaWindowSource(brokers, prefix)),
            tracks,
            _OfHome(with_metrics, place),
            opened.pop_all().close,
            contents,
        )


def _traced(reports: ReportSink, settings: Settings, opened: ExitStack, track: str) -> ReportSink:
    if not settings.tracing.enabled:
        return reports
    # OpenTelemetry may not be installed, since an extra of its own brings it.
    from everfresh.adapters.observe.tracing.opening import open_spans  # noqa: PLC0415
    from everfresh.trainer.traced_reports import TracedReports  # noqa: PLC0415

    cluster = cluster_id(settings.kafka.brokers)
    instance = "trainer" if track == DEFAULT else f"trainer-{track}"
    traced = TracedReports(reports, open_spans(settings, "trainer", instance, cluster))
    opened.callback(traced.close)
    return traced
