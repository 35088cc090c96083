"""Which adapters stand behind the trainer's ports: Kafka for windows and reports, any fsspec store.

Called in the process that trains. The only file of this package that names these adapters.
"""

from __future__ import annotations

from contextlib import ExitStack, closing

import msgspec

from everfresh.adapters.kafka.items.reading import KafkaItemSource
from everfresh.adapters.kafka.report_sink import KafkaReportSink
from everfresh.adapters.kafka.rights import TRAINER, require_rights
from everfresh.adapters.kafka.window_source import KafkaWindowSource
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


def open_ports(settings: Settings, place: str = "") -> TrainerPorts:
    """Connect. ``SettingsError`` or ``Unreachable`` with one line where that cannot be.

    ``place`` is the home of the process that starts the trainer, which may run on another node.
    """
    tracks = FsspecTracks(settings)
    tracks.store(DEFAULT)  # which refuses keys that are none
    require_rights(TRAINER, settings)
    brokers, prefix = settings.kafka.brokers, settings.kafka.topic_prefix
    with ExitStack() as opened:
        reports = KafkaReportSink(brokers, prefix)
        opened.callback(reports.close, _CLOSE_S)
        with_metrics = metered(reports, settings)
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
