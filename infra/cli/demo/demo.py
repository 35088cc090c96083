"""``everfresh demo``: the whole loop on MovieLens 100K, from nothing to a report, in one command.

Steps: 1 the data is there and the demo's home is new; 2 the loop starts; 3 the events are replayed
while requests are answered; 4 every window is trained and live; 5 table, plot and report; 6 one
user before and after an event; 7 everything stops, and the report gets its last figure.
"""

from __future__ import annotations

import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.live import Live

from everfresh.adapters.files.datasets import fetch_ml100k
from everfresh.adapters.machine.endpoint_record import endpoint_url
from everfresh.contracts.errors import RunError
from everfresh.contracts.settings import Settings
from everfresh.infra.cli import INTERRUPTS
from everfresh.infra.cli.commands.feed import Feed, replay_spec
from everfresh.infra.cli.commands.up import require_nothing_left
from everfresh.infra.cli.demo.before_after import change_view, observe_change, one_event_file
from everfresh.infra.cli.demo.report import Counts, build_report, report_table, write_report
from everfresh.infra.cli.demo.requester import Requester
from everfresh.infra.cli.views.live import Snapshot, plain_line, render
from everfresh.infra.cli.views.steps import StepPrinter
from everfresh.infra.cli.views.watch import Watch
from everfresh.infra.components import settings_environment
from everfresh.infra.processes.children import StepUpdate
from everfresh.infra.run.run_record import lock_home
from everfresh.infra.supervisor import Supervisor, end_leftovers

BUDGET_S = 160.0
"""What the demo aims at in all; 3 minutes is what it may take."""
_AFTER_REPLAY_S = 25.0
_SLOWEST = 400.0
"""Events per second that two cores learn as fast as they come, window by window."""
_REQUESTS_PER_S = 20.0
_DRAIN_S = 90.0
_POLL_MS = 150
_PLAIN_S = 5.0
_MARKER = "everfresh-demo"


def run_demo(settings: Settings, events: int, speed: float) -> None:
    """Run the demo; returns only if all went well. ``speed`` 0 finds one from the time budget."""
    console = Console(highlight=False)
    began = time.monotonic()
    steps = StepPrinter(console)
    try:
        file = _fetch(steps)
        settings = _demo_settings(settings)
        _renew(settings.home)
        run = Supervisor(settings, INTERRUPTS, steps)
        with run:
            run.start()
            demo = _Demo(run, console, began, file)
            report = demo.show(events, speed)
        steps.end()
        require_nothing_left(run)
    finally:
        steps.end()
    report["seconds"] = round(time.monotonic() - began, 3)
    write_report(settings.home / "report.json", report)
    console.print(f"everything has stopped; {report['seconds']:.0f} s in all")
    if report["failed_requests"]:
        raise RunError(
            f"{report['failed_requests']} of {report['requests']} requests failed, the last with "
            f"{demo.requests.last_failure}; see {settings.home / 'logs'}"
        )


class _Demo:
    """Steps 3 to 6, on a loop that is up."""

    def __init__(self, run: Supervisor, console: Console, began: float, file: Path) -> None:
        self._run = run
        self._console = console
        self._began = began
        self._file = file
        self._users: list[int | str] = []
        self._told = 0.0
        self._replay_s = 0.0
        self.requests = Requester(
            lambda: endpoint_url(run.home), lambda: self._users, _REQUESTS_PER_S
        )

    def show(self, events: int, speed: float) -> dict[str, Any]:
        """The report, without its last figure."""
        startup_s = self._elapsed()
        speed = speed or _speed(events, startup_s)
        with Watch(self._run.settings) as watch:
            with self._live() as live:
                feed = self._replay(self._file, "ml-100k", speed, events)
                self._follow(watch, feed, live, speed)
                self._drain(watch, feed, live)
            self.requests.stop()
            report = self._report(watch, feed, startup_s)
        self._one_user(feed)
        return report

    def _replay(self, file: Path, form: str, speed: float, limit: int) -> Feed:
        env = settings_environment(self._run.settings)
        return Feed(self._run.start_one_off(replay_spec(file, form, speed, limit, env)))

    def _follow(self, watch: Watch, feed: Feed, live: Live, speed: float) -> None:
        """Step 3."""
        began = time.monotonic()
        while not feed.ended():
            self._tick(watch, feed, live, f"replaying at {speed:,.0f}/s")
        self._replay_s = time.monotonic() - began

    def _drain(self, watch: Watch, feed: Feed, live: Live) -> None:
        """Step 4."""
        seen, until = watch.observed, time.monotonic() + _DRAIN_S
        while (
            seen.trained_events() + watch.dead_letters() < feed.latest.sent
            or seen.freshness_pending()
        ):
            if time.monotonic() > until:
                raise RunError(
                    f"{_DRAIN_S:.0f} s after the last of {feed.latest.sent} events only "
                    f"{seen.trained_events()} were trained, and version "
                    f"{seen.version_everywhere()} of {seen.version()} was live everywhere; see "
                    f"{self._run.home / 'logs'}"
                )
            self._tick(watch, feed, live, "training the last windows")

    def _tick(self, watch: Watch, feed: Feed, live: Live, phase: str) -> None:
        self._run.watch()
        watch.poll(_POLL_MS)
        self._users = feed.users()
        if watch.observed.version_everywhere():
            self.requests.start()
        now = self._snapshot(watch, feed, phase)
        if self._console.is_terminal:
            live.update(render(now), refresh=True)
        elif now.elapsed_s - self._told >= _PLAIN_S:
            self._told = now.elapsed_s
            self._console.print(plain_line(now), markup=False, soft_wrap=True)

    def _snapshot(self, watch: Watch, feed: Feed, phase: str) -> Snapshot:
        now = watch.snapshot("everfresh demo", phase, self._elapsed())
        return msgspec.structs.replace(
            now,
            sent=feed.latest.sent,
            total=feed.latest.total,
            requests=self.requests.sent,
            failed_requests=self.requests.failed,
            request_p50_ms=self.requests.took_ms(0.5),
        )

    def _report(self, watch: Watch, feed: Feed, startup_s: float) -> dict[str, Any]:
        """Step 5."""
        seen = watch.observed
        p50, p99 = seen.freshness(0.5, 0.99)
        counts = Counts(
            replayed=feed.latest.sent,
            dead_letters=watch.dead_letters(),
            requests=self.requests.sent,
            failed_requests=self.requests.failed,
            request_p50_ms=self.requests.took_ms(0.5),
            request_p99_ms=self.requests.took_ms(0.99),
            freshness_p50_s=p50,
            freshness_p99_s=p99,
            startup_s=startup_s,
            replay_s=self._replay_s,
            seconds=self._elapsed(),
        )
        report = build_report(seen.windows, counts)
        home = self._run.home
        write_report(home / "report.json", report)
        self._console.print(report_table(report))
        # matplotlib takes a moment to load, and only the demo draws
        from everfresh.infra.cli.demo.plot import draw  # noqa: PLC0415

        title = f"everfresh on MovieLens 100K: {report['events']:,} events, "
        title += f"{report['windows']} windows, {report['versions']} versions"
        draw(seen.windows, seen.live, title, home / "plot.png")
        self._console.print(f"plot {home / 'plot.png'}\nreport {home / 'report.json'}\n")
        return report

    def _one_user(self, feed: Feed) -> None:
        """Step 6."""
        url = endpoint_url(self._run.home)
        assert url is not None, "the loop is up"
        user = feed.users()[-1]

        def send(item: int | str) -> None:
            one = self._replay(one_event_file(self._run.home, user, item), "jsonl", 0.0, 1)
            while not one.latest.done and not one.ended():
                time.sleep(0.005)

        self._console.print(change_view(observe_change(url, user, send, self._run.watch)))

    def _elapsed(self) -> float:
        return time.monotonic() - self._began

    @contextmanager
    def _live(self) -> Iterator[Live]:
        with Live(console=self._console, auto_refresh=False, transient=True) as live:
            yield live


def _speed(events: int, startup_s: float) -> float:
    """Such that all is over within the budget, and no slower than a demo of few events needs."""
    return max(_SLOWEST, events / max(10.0, BUDGET_S - startup_s - _AFTER_REPLAY_S))


def _fetch(steps: StepPrinter) -> Path:
    steps(StepUpdate("data", "begins"))
    began = time.monotonic()
    file = fetch_ml100k(lambda text: steps(StepUpdate("data", "waits", text)))
    steps(StepUpdate("data", "done", seconds=time.monotonic() - began))
    return file


def _demo_settings(settings: Settings) -> Settings:
    """Its own home and weights; a real Kafka gets topics of this demo's own."""
    changes: dict[str, Any] = {
        "home": (settings.home / "demo").resolve(),
        # In these data nobody rates an item twice, so no contender has to rank what was rated.
        "trainer": settings.trainer.model_copy(update={"exclude_seen": True}),
        "weights": settings.weights.model_copy(update={"url": ""}),
    }
    if settings.kafka.bootstrap_servers:
        prefix = f"everfresh-demo-{uuid.uuid4().hex[:8]}."
        changes["kafka"] = settings.kafka.model_copy(update={"topic_prefix": prefix})
    return settings.model_copy(update=changes)


def _renew(home: Path) -> None:
    """An empty home: what an earlier demo left is removed, anything else is refused."""
    if home.exists():
        if any(home.iterdir()) and not (home / _MARKER).exists():
            raise RunError(f"{home} is not a demo's folder; remove it, or give another --home")
        with lock_home(home):
            end_leftovers(home, lambda note: None)
        shutil.rmtree(home)
    home.mkdir(parents=True)
    (home / _MARKER).write_text(
        "Made by `everfresh demo`, which removes this folder and all in it when it runs again.\n"
    )
