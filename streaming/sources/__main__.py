"""``python -m everfresh.streaming.sources NAME [--index N]``: one bridge, until SIGTERM or Ctrl-C.

With ``--patient``, as `everfresh up` starts it, what it cannot go on with is reported and tried
again: a source that is broken takes nothing else down.
"""

from __future__ import annotations

import argparse
import logging
import signal
import time
from functools import partial
from threading import Event as Flag

from everfresh.adapters.kafka.report_sink import KafkaReportSink
from everfresh.adapters.kafka.rights import require_topic_rights
from everfresh.adapters.kafka.tail import RecordTail
from everfresh.adapters.kafka.topics import ensure_topics
from everfresh.adapters.observe.logs import configure_logging, run_main
from everfresh.contracts.errors import EverfreshError
from everfresh.contracts.report import ComponentStatus
from everfresh.contracts.settings import Settings, load_settings
from everfresh.contracts.topics import DEAD_LETTERS, EVENTS, STATUS, topic_name
from everfresh.streaming.sources import require_source
from everfresh.streaming.sources.bridge import Bridge
from everfresh.streaming.sources.conversion import Conversion
from everfresh.streaming.sources.figures import STOPPED, WAITING, BridgeFigures
from everfresh.streaming.sources.positions import reported_positions
from everfresh.streaming.sources.reader import SourceReader
from everfresh.streaming.sources.writer import TransactionalWriter

_AGAIN_S = 5.0
_log = logging.getLogger("everfresh.bridge")


def main() -> None:
    """Run one bridge; ``SettingsError`` for a source that the settings do not name."""
    parser = argparse.ArgumentParser(prog="python -m everfresh.streaming.sources")
    parser.add_argument("name", metavar="NAME", help="source, as in [sources.NAME]")
    parser.add_argument("--index", type=int, default=0, help="number of this bridge, from 0")
    parser.add_argument("--patient", action="store_true", help="try again what has failed")
    wanted = parser.parse_args()
    settings = load_settings()
    require_source(settings, wanted.name)
    stop = Flag()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    component = f"bridge-{wanted.name}" + (f"-{wanted.index}" if wanted.index else "")
    configure_logging(component, settings.home)
    ensure_topics(settings.kafka.brokers, settings)
    sink = KafkaReportSink(settings.kafka.brokers, settings.kafka.topic_prefix, windows=False)
    figures = BridgeFigures(component, wanted.name, _now_ms())
    conversion = Conversion(wanted.name, settings)
    bridge = Bridge(conversion, settings, figures, sink, _now_ms, stop)
    bridge.more["metrics"] = figures.door.open(settings.metrics, component, settings.home)
    try:
        while not stop.is_set():
            try:
                _run(bridge, settings, wanted.name, wanted.index)
            except EverfreshError as error:
                if not wanted.patient:
                    raise
                _log.error("%s: %s", type(error).__name__, error)
                figures.reason = str(error)
                _pause(bridge, stop)
    finally:
        figures.door.close()
        bridge.tell(STOPPED, now=True)
        sink.close(1.0)


def _run(bridge: Bridge, settings: Settings, name: str, index: int) -> None:
    _require_rights(settings, name)
    writer = TransactionalWriter(name, index, settings)
    try:
        reader = SourceReader(name, index, settings, partial(_reported, settings, name))
        try:
            bridge.run(reader, writer)
        finally:
            reader.close()
    finally:
        writer.close()


def _reported(settings: Settings, name: str) -> dict[int, tuple[int, str]]:
    with RecordTail(settings.kafka.brokers, settings.kafka.topic_prefix, [STATUS]) as tail:
        said = [each for each in tail.read_to_end() if isinstance(each, ComponentStatus)]
    return reported_positions(said, name)


def _pause(bridge: Bridge, stop: Flag) -> None:
    until = time.monotonic() + _AGAIN_S
    while time.monotonic() < until and not stop.wait(1.0):
        bridge.tell(WAITING)


def _require_rights(settings: Settings, name: str) -> None:
    prefix = settings.kafka.topic_prefix
    written = [topic_name(prefix, spec) for spec in (EVENTS, DEAD_LETTERS, STATUS)]
    read = [settings.sources[name].topic, topic_name(prefix, STATUS)]
    rights = {"Read": read, "Write": written}
    require_topic_rights(rights, settings)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


if __name__ == "__main__":
    run_main(main)
