"""``python -m everfresh.infra.exporter``: one address for the metrics of a home, until SIGTERM."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from types import FrameType

from prometheus_client import CollectorRegistry

from everfresh.adapters.machine.tcp_ports import bracketed
from everfresh.adapters.observe.logs import run_main
from everfresh.adapters.observe.scrape_server import start_scrape_server
from everfresh.adapters.observe.scrape_targets import read_targets
from everfresh.contracts.errors import Unreachable
from everfresh.contracts.settings import load_settings
from everfresh.infra.exporter.gathering import GatheringCollector, ask


def main() -> None:
    """Listen; ``Unreachable`` where the port cannot be taken."""
    parser = argparse.ArgumentParser(prog="python -m everfresh.infra.exporter", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=9100, help="port to listen on")
    options = parser.parse_args()
    home = load_settings().home.resolve()
    stop = threading.Event()

    def ask_to_stop(number: int, frame: FrameType | None) -> None:
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, ask_to_stop)
    registry = CollectorRegistry()
    registry.register(GatheringCollector(lambda: read_targets(home), ask))
    try:
        server = start_scrape_server(options.host, options.port, registry)
    except (OSError, OverflowError) as error:
        raise Unreachable(
            f"no metrics on {options.host}:{options.port}: {error}; name another address or port "
            "with --host and --port"
        ) from None
    address = f"{bracketed(options.host)}:{options.port}"
    sys.stdout.write(f"metrics of {home} on http://{address}/metrics\n")
    sys.stdout.flush()
    stop.wait()
    server.shutdown()


if __name__ == "__main__":
    run_main(main)
