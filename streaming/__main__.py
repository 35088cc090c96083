"""``python -m everfresh.streaming [--index N]``: one stream worker, until SIGTERM or Ctrl-C."""

from __future__ import annotations

import argparse
import asyncio
import fcntl
import gc
import hashlib
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from everfresh.adapters.kafka.report_sink import KafkaReportSink
from everfresh.adapters.kafka.rights import FORWARDING_WORKER, WORKER, require_group, require_rights
from everfresh.adapters.kafka.topics import ensure_topics
from everfresh.adapters.observe.logs import configure_logging, run_main
from everfresh.adapters.observe.tracing.extra import require_tracing
from everfresh.contracts.errors import SettingsError, StateLocked
from everfresh.contracts.settings import Settings, load_settings
from everfresh.streaming.log.probe import log_identity
from everfresh.streaming.worker import StreamWorker, events_topic


def main() -> None:
    """Prepare the topics, then work until told to stop."""
    parser = argparse.ArgumentParser(prog="python -m everfresh.streaming", description=__doc__)
    parser.add_argument(
        "--index", type=int, default=0, help="number of this worker on this machine, from 0"
    )
    index: int = parser.parse_args().index
    settings = load_settings()
    brokers = settings.kafka.brokers
    if not brokers.servers:
        raise SettingsError(
            "kafka.bootstrap_servers is empty; set EVERFRESH_KAFKA__BOOTSTRAP_SERVERS to the "
            "brokers' host:port, or run `everfresh up`"
        )
    configure_logging(f"worker-{index}", settings.home)
    require_tracing(settings)
    with _only_worker(settings.state_dir, index):
        forwards = settings.events.misplaced == "forward"
        require_rights(FORWARDING_WORKER if forwards else WORKER, settings)
        require_group(settings)
        ensure_topics(brokers, settings)
        asyncio.run(_run(settings, index))


async def _run(settings: Settings, index: int) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    brokers = settings.kafka.brokers
    identity = await asyncio.to_thread(log_identity, brokers, events_topic(settings))
    sink = await asyncio.to_thread(KafkaReportSink, brokers, settings.kafka.topic_prefix)
    # Nearly all that a fetch makes dies with it, by reference count: looking for cycles every 700
    # objects costs more than the fold itself.
    gc.freeze()
    gc.set_threshold(100_000, 20, 20)
    try:
        worker = StreamWorker(settings, identity, _name(settings, index), sink, _now_ms)
        await worker.run(stop)
    finally:
        await asyncio.to_thread(sink.close, 1.0)


def _name(settings: Settings, index: int) -> str:
    """Stable over restarts, and another one on another machine or with another home."""
    place = f"{socket.gethostname()}:{settings.home.resolve()}"
    return f"worker-{index}-{hashlib.sha256(place.encode()).hexdigest()[:8]}"


@contextmanager
def _only_worker(state_dir: Path, index: int) -> Iterator[None]:
    state_dir.mkdir(parents=True, exist_ok=True)
    path = state_dir / f"worker-{index}.lock"
    with path.open("w") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise StateLocked(
                f"another stream worker with index {index} runs on {state_dir}; stop it, or start "
                f"this one with --index {index + 1}"
            ) from None
        yield


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


if __name__ == "__main__":
    run_main(main)
