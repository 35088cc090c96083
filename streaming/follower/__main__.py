"""``python -m everfresh.streaming.follower``: keeps users' state here, until SIGTERM or Ctrl-C."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import gc
import hashlib
import signal
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from everfresh.adapters.kafka.diagnosis import require_broker
from everfresh.adapters.kafka.report_sink import KafkaReportSink
from everfresh.adapters.kafka.rights import FOLLOWER, require_rights
from everfresh.adapters.observe.logs import configure_logging, run_main
from everfresh.contracts.errors import SettingsError, StateLocked
from everfresh.contracts.foreign import printable
from everfresh.contracts.settings import Settings, load_settings
from everfresh.contracts.topics import EVENTS, topic_name
from everfresh.streaming.follower.follower import Follower
from everfresh.streaming.follower.metrics import KIND, metered
from everfresh.streaming.log.probe import log_identity


def main() -> None:
    """Check what can be told at once, then follow until told to stop."""
    settings = load_settings()
    if not settings.kafka.bootstrap_servers:
        raise SettingsError(
            "kafka.bootstrap_servers is empty; set EVERFRESH_KAFKA__BOOTSTRAP_SERVERS to the "
            "brokers' host:port"
        )
    if not settings.state.snapshot_url:
        raise SettingsError(
            "state.snapshot_url is empty, and a follower begins with the snapshots that the stream "
            "worker writes; name the place that both reach, such as s3://bucket/path"
        )
    configure_logging("follower", settings.home)
    with _only_follower(settings.state_dir):
        require_broker(settings.kafka.brokers)
        require_rights(FOLLOWER, settings)
        asyncio.run(_run(settings))


async def _run(settings: Settings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    kafka = settings.kafka
    topic = topic_name(kafka.topic_prefix, EVENTS)
    identity = await asyncio.to_thread(log_identity, kafka.brokers, topic)
    # As in the worker: what a fetch makes dies with it, by reference count.
    gc.freeze()
    gc.set_threshold(100_000, 20, 20)
    with contextlib.ExitStack() as closing:
        sink = await asyncio.to_thread(KafkaReportSink, kafka.brokers, kafka.topic_prefix)
        closing.callback(sink.close, 1.0)
        with_metrics = metered(sink, settings)
        closing.callback(with_metrics.close)
        name = _name(settings)
        await Follower(settings, identity, name, with_metrics, _now_ms, _say).run(stop)


def _name(settings: Settings) -> str:
    """Stable over restarts, and another one on another machine or with another home."""
    place = f"{socket.gethostname()}:{settings.home.resolve()}"
    return f"{KIND}-{hashlib.sha256(place.encode()).hexdigest()[:8]}"


@contextlib.contextmanager
def _only_follower(state_dir: Path) -> Iterator[None]:
    state_dir.mkdir(parents=True, exist_ok=True)
    with (state_dir / "follower.lock").open("w") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise StateLocked(
                f"another follower runs on {state_dir}; stop it, or give this one another home"
            ) from None
        yield


def _say(line: str) -> None:
    """To whoever started this; ``up`` shows the newest line while it waits."""
    sys.stdout.write(f"{printable(line)}\n")
    sys.stdout.flush()


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


if __name__ == "__main__":
    run_main(main)
