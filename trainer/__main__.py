"""``python -m everfresh.trainer``: join Ray, own the trainer actor, end it on SIGTERM or Ctrl-C.

Prints a line when training begins, when Ray had to start the process again, and at the end. Exits
0 after a signal, 1 with one line where the trainer cannot go on.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING

from everfresh.adapters.kafka.presence.other_trainers import OtherTrainers, other_trainers
from everfresh.adapters.machine.home_identity import home_place
from everfresh.adapters.observe.logs import configure_logging, run_main
from everfresh.adapters.observe.tracing.extra import require_tracing
from everfresh.adapters.observe.tracing.variables import trace_variables
from everfresh.contracts.settings import Settings, load_settings

if TYPE_CHECKING:
    from everfresh.trainer.ray_driver import TrainerDriver

WATCH_S = 1.0
_LONG = 60


def main() -> None:
    """Run until a signal; ``EverfreshError`` where the trainer cannot start or go on."""
    settings = load_settings()
    settings = settings.model_copy(update={"home": settings.home.resolve()})
    configure_logging("trainer", settings.home)
    require_tracing(settings)
    # Ray's processes look for modules in the folder of its driver, where a kafka.py may lie.
    os.chdir(settings.home)
    stop = threading.Event()
    _stop_on_signals(stop)
    place = home_place(settings.home)
    others = other_trainers(settings.kafka.brokers, settings.kafka.topic_prefix, place)
    with others or contextlib.nullcontext():
        _train(settings, stop, place, others)


def _train(
    settings: Settings, stop: threading.Event, place: str, others: OtherTrainers | None
) -> None:
    # Ray and torch take seconds to load: a wrong setting must not wait for them.
    from everfresh.trainer import ray_driver  # noqa: PLC0415
    from everfresh.trainer.wiring import open_ports  # noqa: PLC0415

    if stop.is_set():
        return
    try:
        ray_driver.join_cluster(settings)
    except SystemExit:  # the handler Ray sets while it connects: SIGTERM came meanwhile
        return
    try:
        _stop_on_signals(stop)  # Ray took SIGTERM for itself
        ports = partial(open_ports, place=place, traces=trace_variables(settings))
        trainer = ray_driver.TrainerDriver(settings, ports)
        try:
            _watch(trainer, stop, settings, others)
        finally:
            last = trainer.stop()
        _print(f"stopped at version {last.figures.version}" if last else "ended in mid-window")
    finally:
        ray_driver.leave_cluster()


def _watch(
    trainer: TrainerDriver,
    stop: threading.Event,
    settings: Settings,
    others: OtherTrainers | None,
) -> None:
    running, restarts, silent = False, 0, 0
    while not stop.wait(WATCH_S):
        status = trainer.check()
        if others is not None:
            others.look()
        silent = silent + 1 if status is None else 0
        if silent == _LONG:
            _print("still waiting for Ray to start the training process; `ray status` shows why")
        if trainer.restarts != restarts:
            running, restarts = False, trainer.restarts
            _print("the training process was lost; Ray starts it again")
        if status is None or status.state != "running":
            continue
        if not running:
            running = True
            _print(f"training, at version {status.figures.version}; {settings.weights_url}")


def _stop_on_signals(stop: threading.Event) -> None:
    def ask(number: int, frame: FrameType | None) -> None:
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, ask)


def _print(line: str) -> None:
    sys.stdout.write(f"trainer: {line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    run_main(main)
