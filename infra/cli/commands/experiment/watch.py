"""``everfresh experiment watch``: closes arms that cross a guardrail, until Ctrl-C."""

from __future__ import annotations

import time

from everfresh.contracts.errors import StateLocked, Unreachable
from everfresh.contracts.settings import Settings
from everfresh.infra.cli.running import with_brokers
from everfresh.infra.cli.terminal import Terminal, styled
from everfresh.infra.cli.views.text import utc_time
from everfresh.infra.guard.looking import is_stopped, look, now_ms


def run_watch(settings: Settings, name: str, every_s: float) -> None:
    """Look, act, wait, and again; ends by itself once the experiment is stopped."""
    console = Terminal()
    settings = with_brokers(settings)
    while True:
        stopped = False
        try:
            for line in look(settings, name):
                console.print(styled((utc_time(now_ms()), "dim"), f"  {line}"), soft_wrap=True)
            stopped = is_stopped(settings, name)
        except (Unreachable, StateLocked) as error:  # a broker comes back, a report ends
            console.print(styled((f"{error}; trying again", "red")), soft_wrap=True)
        if stopped:
            console.print(f"{name} is stopped, so there is nothing left to watch")
            return
        time.sleep(every_s)
