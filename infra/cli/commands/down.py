"""``everfresh down``: stop a run from another terminal, and end what a killed one left behind."""

from __future__ import annotations

import os
import signal
import time

from everfresh.contracts.errors import RunError
from everfresh.contracts.settings import Settings
from everfresh.infra.cli.terminal import Terminal
from everfresh.infra.processes.processes import same_process
from everfresh.infra.run.run_record import is_supervised, read_record
from everfresh.infra.supervisor import end_leftovers

_WAIT_S = 15.0


def run_down(settings: Settings) -> None:
    """Return when nothing of the home's run is left; ``RunError`` where that cannot be had."""
    console, home = Terminal(), settings.home.resolve()
    stopped = _stop_supervisor(settings)
    ended = end_leftovers(home, lambda note: None) if not is_supervised(home) else 0
    if stopped:
        console.print(f"the run in {home} has stopped")
    if ended:
        console.print(f"ended {ended} processes that a killed run in {home} had left behind")
    if not stopped and not ended:
        console.print(f"nothing is up in {home}")


def _stop_supervisor(settings: Settings) -> bool:
    home = settings.home.resolve()
    if not is_supervised(home):
        return False
    record = read_record(home)
    if record is None or not same_process(record.supervisor.pid, record.supervisor.started):
        raise RunError(f"the run in {home} is only just starting; try again in a moment")
    os.kill(record.supervisor.pid, signal.SIGTERM)
    until = time.monotonic() + _WAIT_S
    while is_supervised(home):
        if time.monotonic() > until:
            pid = record.supervisor.pid
            raise RunError(
                f"the run in {home} (process {pid}) did not stop within {_WAIT_S:.0f} s; end it "
                f"with `kill -9 {pid}`, then run `everfresh down` again to end the rest"
            )
        time.sleep(0.05)
    return True
