"""Runs the embedded broker alone: ``python -m everfresh.infra.broker --data DIR [--port N]``.

Prints the bootstrap address on standard output when the broker is ready, progress on standard
error; stops on SIGTERM and SIGINT with status 0.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from pathlib import Path
from typing import TextIO

from everfresh.adapters.observe.logs import run_main
from everfresh.contracts.errors import Unreachable
from everfresh.infra.broker.broker import EmbeddedBroker


def main() -> None:
    """Run until SIGTERM or SIGINT. ``Unreachable`` where the broker ends before."""
    parser = argparse.ArgumentParser(prog="python -m everfresh.infra.broker", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the broker's own")
    parser.add_argument("--port", type=int, default=0, help="port to listen on; 0 picks one")
    parser.add_argument("--heap-mb", type=int, default=384, help="heap of the Java process")
    arguments = parser.parse_args()
    os.umask(0o077)  # the log holds what users did: it is its owner's alone
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    broker = EmbeddedBroker(arguments.data, arguments.heap_mb, arguments.port)
    try:
        broker.start(lambda text: _write_line(sys.stderr, text))
        _write_line(sys.stdout, broker.bootstrap_servers)
        while not stop.wait(0.5):
            if not broker.running:
                raise Unreachable(f"the embedded Kafka broker ended; see {arguments.data}/logs")
    finally:
        broker.stop()


def _write_line(stream: TextIO, text: str) -> None:
    stream.write(text + "\n")
    stream.flush()


if __name__ == "__main__":
    run_main(main)
