"""``everfresh up``: the loop, staying up, with one live view."""

from __future__ import annotations

import time

from rich.console import Console
from rich.live import Live

from everfresh.adapters.machine.endpoint_record import endpoint_url
from everfresh.adapters.machine.interrupts import Interrupted
from everfresh.contracts.errors import RunError
from everfresh.contracts.settings import Settings
from everfresh.infra.cli import INTERRUPTS
from everfresh.infra.cli.views.live import Snapshot, plain_line, render
from everfresh.infra.cli.views.steps import StepPrinter
from everfresh.infra.cli.views.watch import Watch
from everfresh.infra.supervisor import Supervisor

_POLL_MS = 200
_PLAIN_S = 10.0


def run_up(settings: Settings) -> None:
    """Return when the run was asked to stop and has stopped; ``RunError`` where it had to stop."""
    console = Console(highlight=False)
    steps = StepPrinter(console)
    run = Supervisor(settings, INTERRUPTS, steps)
    ready = False
    try:
        with run:
            run.start()
            ready = True
            _greet(console, run)
            _stay(console, run)
    except Interrupted:
        if not ready:
            raise
    finally:
        steps.end()
        require_nothing_left(run)
    console.print("everything has stopped")


def require_nothing_left(run: Supervisor) -> None:
    """``RunError`` that names the processes which could not be ended."""
    if run.left_behind:
        left = ", ".join(run.left_behind)
        raise RunError(f"could not be ended: {left}; `everfresh down` tries again")


def _greet(console: Console, run: Supervisor) -> None:
    url = endpoint_url(run.home)
    kafka = run.settings.kafka
    console.print(f"\nThe loop is up. Recommendations: {url}/v1/recommend\nTheir pages: {url}/docs")
    console.print(f"Events go to topic {kafka.topic_prefix}events at {kafka.bootstrap_servers}")
    console.print(f"Logs: {run.home / 'logs'}.  Ctrl-C or `everfresh down` stops it.\n")


def _stay(console: Console, run: Supervisor) -> None:
    began, told = time.monotonic(), 0.0
    with (
        Watch(run.settings, from_end=True) as watch,
        Live(console=console, auto_refresh=False, transient=True) as live,
    ):
        while True:
            run.watch()
            watch.poll(_POLL_MS)
            now = _snapshot(watch, time.monotonic() - began)
            if console.is_terminal:
                live.update(render(now), refresh=True)
            elif now.elapsed_s - told >= _PLAIN_S:
                told = now.elapsed_s
                console.print(plain_line(now), markup=False, soft_wrap=True)


def _snapshot(watch: Watch, elapsed_s: float) -> Snapshot:
    phase = "up" if watch.observed.version_everywhere() else "up, waiting for the first window"
    return watch.snapshot("everfresh", phase, elapsed_s)
