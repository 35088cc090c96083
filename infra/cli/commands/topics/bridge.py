"""``everfresh bridge``: runs a source's bridge, or shows what would come of its newest records."""

from __future__ import annotations

import os
import sys
from collections import Counter

from everfresh.contracts.settings import Settings
from everfresh.infra.cli.running import with_brokers
from everfresh.infra.cli.terminal import Terminal
from everfresh.infra.components import settings_environment
from everfresh.streaming import sources
from everfresh.streaming.sources.preview import RECORDS, Preview, preview

_SHOWN = 3


def run_bridge(settings: Settings, name: str, index: int) -> None:
    """Become the bridge's process; it ends as that does."""
    settings = with_brokers(settings)
    sources.require_source(settings, name)
    argv = [sys.executable, "-m", sources.__name__, name, "--index", str(index)]
    os.execve(sys.executable, argv, {**os.environ, **settings_environment(settings)})


def run_check(settings: Settings, name: str) -> None:
    """Print what the newest records would become; writes nothing."""
    settings = with_brokers(settings)
    sources.require_source(settings, name)
    _print(Terminal(), settings.sources[name].topic, preview(settings, name))


def _print(console: Terminal, topic: str, found: Preview) -> None:
    console.print(f"{topic}: the newest {found.read:,} records (at most {RECORDS:,} are looked at)")
    outcomes = Counter(
        {"events": found.events, "filtered": found.filtered, "tombstones": found.tombstones}
    )
    for what, number in outcomes.items():
        console.print(f"{what:11}{number:,}")
    console.print(f"{'rejected':11}{found.rejected.total():,}")
    for reason, number in found.rejected.most_common():
        console.print(f"  {reason} {number:,}, first {found.first_of[reason]}", soft_wrap=True)
    if found.examples:
        console.print("first events")
    for example in found.examples[:_SHOWN]:
        console.print(f"  {example}", soft_wrap=True)
