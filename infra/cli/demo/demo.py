"""``everfresh demo``: the whole loop on a stream of events, from nothing to a report.

Steps: 1 fetch or make the events, and empty the demo's home; 2 start the loop; 3 replay the events
while requests are answered; 4 wait until every window is trained and live; 5 print tables, draw the
plot, write the report; 6 show one user before and after an event; 7 stop everything, and write the
report's last figure. With an experiment, step 6 shows its report instead (``demo.experiment``).
"""

from __future__ import annotations

import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
from rich.live import Live

from everfresh.adapters.files.tables.mapping import Reading
from everfresh.adapters.machine.private_home import close_home
from everfresh.contracts.errors import RunError
from everfresh.contracts.settings import Settings
from everfresh.infra.cli.demo.background_requests import BackgroundRequests
from everfresh.infra.cli.demo.before_after import change_view, observe_change, one_event_file
from everfresh.infra.cli.demo.experiment import Trial, settings_of_trial
from everfresh.infra.cli.demo.report import Counts, build_report, report_table
from everfresh.infra.cli.demo.streams import (
    Stream,
    clicks_of,
    fetch_ratings,
    shelve_films,
    write_clicks,
)
from everfresh.infra.cli.http_client import serving_url
from everfresh.infra.cli.interrupts import INTERRUPTS
from everfresh.infra.cli.kept_results import write_figures
from everfresh.infra.cli.replay_process import ReplayProcess, replay_spec
from everfresh.infra.cli.running import require_nothing_left
from everfresh.infra.cli.terminal import Terminal
from everfresh.infra.cli.views.follow import RunFollower
from everfresh.infra.cli.views.live_screen import Snapshot, plain_line, render
from everfresh.infra.cli.views.steps import StepPrinter
from everfresh.infra.components import settings_environment
from everfresh.infra.run.run_record import lock_home
from everfresh.infra.supervisor import Supervisor, end_leftovers

BUDGET_S = 160.0
"""What the demo aims at in all; 3 minutes is what it may take."""
_AFTER_REPLAY_S = 25.0
_SLOWEST = 400.0
"""Events per second that two cores can learn as fast as they come, window by window."""
_REQUESTS_PER_S = 20.0
_DRAIN_S = 90.0
_POLL_MS = 150
_PLAIN_S = 5.0
_MARKER = "everfresh-demo"


def run_demo(
    settings: Settings,
    events: int,
    speed: float,
    *,
    drifting: bool = False,
    experiment: bool = False,
) -> None:
    """Run the demo; returns only if all went well. ``speed`` 0 takes one that fits the budget."""
    if experiment:
        settings = settings_of_trial(settings)
    console = Terminal()
    began = time.monotonic()
    steps = StepPrinter(console)
    try:
        # What needs a network comes before the last demo's results are removed.
        ratings = None if drifting else fetch_ratings(steps)
        stream = ratings or clicks_of((settings.home / "demo").resolve())
        settings = _demo_settings(settings, stream)
        _renew(settings.home)
        if ratings is None:
            stream = write_clicks(stream, events, settings, steps)
        run = Supervisor(settings, INTERRUPTS, steps)
        with run:
            run.start()
            if stream.films is not None:
                shelve_films(stream.films, run.settings)
            demo = _Demo(run, console, began, stream, experiment=experiment)
            report = demo.show(events, speed)
        steps.end()
        require_nothing_left(run)
    finally:
        steps.end()
    report["seconds"] = round(time.monotonic() - began, 3)
    write_figures(settings.home / "report.json", report)
    console.print(f"everything has stopped; {report['seconds']:.0f} s in all")
    if report["failed_requests"]:
        raise RunError(
            f"{report['failed_requests']} of {report['requests']} requests failed, the last with "
            f"{demo.requests.last_failure}; look for errors in {settings.home / 'logs'}"
        )


class _Demo:
    """Steps 3 to 6, on a loop that is up."""

    def __init__(
        self, run: Supervisor, console: Terminal, began: float, stream: Stream, *, experiment: bool
    ) -> None:
        self._run = run
        self._console = console
        self._began = began
        self._stream = stream
        self._users: list[int | str] = []
        self._printed = 0.0
        self._replay_s = 0.0
        self._sent = 0
        url = partial(serving_url, run.home)
        self._trial = Trial(run.settings, stream, lambda: self._sent) if experiment else None
        # Serving itself may take as long as it is told to.
        patience_s = max(30.0, run.settings.serving.timeout_ms / 1000)
        asking = partial(BackgroundRequests, url, timeout_s=patience_s)
        if (trial := self._trial) is None:
            self.requests = asking(lambda: self._users, _REQUESTS_PER_S)
        else:
            self.requests = asking(trial.users, 2 * _REQUESTS_PER_S, trial.answered)

    def show(self, events: int, speed: float) -> dict[str, Any]:
        """The report, without its last figure."""
        startup_s = self._elapsed()
        speed = speed or _speed(events, startup_s)
        with RunFollower(self._run.settings) as follower:
            with self._live() as live:
                replay = self._start_replay(self._stream.file, self._stream.form, speed, events)
                self._follow_replay(follower, replay, live, speed)
                self._wait_for_training(follower, replay, live)
            self.requests.stop()
            report = self._report(follower, replay, startup_s)
        if self._trial is None:
            self._show_one_user(replay)
        else:
            self._trial.show(self._run.watch)
            report["clicks"] = self._trial.clicks
        return report

    def _start_replay(
        self, file: Path, file_format: str, speed: float, limit: int
    ) -> ReplayProcess:
        env = settings_environment(self._run.settings)
        spec = replay_spec(file, Reading(form=file_format), speed, limit, env)
        return ReplayProcess(self._run.start_one_off(spec))

    def _follow_replay(
        self, follower: RunFollower, replay: ReplayProcess, live: Live, speed: float
    ) -> None:
        """Step 3."""
        began = time.monotonic()
        while not replay.ended():
            self._tick(follower, replay, live, f"replaying {speed:,.0f} events/s")
        self._replay_s = time.monotonic() - began

    def _wait_for_training(self, follower: RunFollower, replay: ReplayProcess, live: Live) -> None:
        """Step 4."""
        reports, reached = follower.reports, (0, 0)
        until = time.monotonic() + _DRAIN_S
        while (
            reports.trained_events() + follower.dead_letters() < replay.latest.sent
            or reports.freshness_pending()
        ):
            if (now := (reports.trained_events(), reports.version_everywhere())) != reached:
                reached, until = now, time.monotonic() + _DRAIN_S
            if time.monotonic() > until:
                raise RunError(
                    f"nothing was trained for {_DRAIN_S:.0f} s: of {replay.latest.sent} events "
                    f"{reports.trained_events()} were, and version "
                    f"{reports.version_everywhere()} of {reports.version()} was live everywhere; "
                    f"look for errors in {self._run.home / 'logs'}, or choose a lower --speed"
                )
            self._tick(follower, replay, live, "training the last windows")

    def _tick(self, follower: RunFollower, replay: ReplayProcess, live: Live, phase: str) -> None:
        self._run.watch()
        follower.poll(_POLL_MS)
        self._users, self._sent = replay.users(), replay.latest.sent
        if follower.reports.version_everywhere():
            self.requests.start()
        if self._trial is not None:
            reports = follower.reports
            version, serving = reports.version_everywhere(), reports.components("replica")
            if line := self._trial.begin(version, serving):
                self._console.print(line)
        now = self._snapshot(follower, replay, phase)
        if self._console.is_terminal:
            live.update(render(now), refresh=True)
        elif now.elapsed_s - self._printed >= _PLAIN_S:
            self._printed = now.elapsed_s
            self._console.print(plain_line(now), soft_wrap=True)

    def _snapshot(self, follower: RunFollower, replay: ReplayProcess, phase: str) -> Snapshot:
        now = follower.snapshot("everfresh demo", phase, self._elapsed())
        return msgspec.structs.replace(
            now,
            sent=replay.latest.sent,
            total=replay.latest.total,
            requests=self.requests.sent,
            failed_requests=self.requests.failed,
            request_p50_ms=self.requests.took_ms(0.5),
        )

    def _report(
        self, follower: RunFollower, replay: ReplayProcess, startup_s: float
    ) -> dict[str, Any]:
        """Step 5."""
        reports = follower.reports
        p50, p99 = reports.freshness(0.5, 0.99)
        counts = Counts(
            replayed=replay.latest.sent,
            dead_letters=follower.dead_letters(),
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
        report = build_report(reports.windows, counts, self._stream.ceiling)
        home = self._run.home
        write_figures(home / "report.json", report)
        self._console.print(report_table(report, repeats=self._stream.repeats))
        # matplotlib takes a moment to load, and only the demo draws
        from everfresh.infra.cli.demo.plot import draw  # noqa: PLC0415  (matplotlib is slow to load)

        title = f"everfresh on {self._stream.title}: {report['events']:,} events, "
        title += f"{report['windows']} windows, {report['versions']} versions"
        draw(reports.windows, reports.live, title, home / "plot.png")
        for line in (f"plot {home / 'plot.png'}", f"report {home / 'report.json'}", ""):
            self._console.print(line, soft_wrap=True)
        return report

    def _show_one_user(self, replay: ReplayProcess) -> None:
        """Step 6."""
        url = serving_url(self._run.home)
        assert url is not None, "the loop is up"
        user = replay.users()[-1]

        def send(item: int | str) -> None:
            file = one_event_file(self._run.home, self._stream, user, item)
            event = self._start_replay(file, "jsonl", 0.0, 1)
            while not event.latest.done and not event.ended():
                time.sleep(0.005)

        change = observe_change(url, user, send, self._run.watch)
        self._console.print(change_view(change, self._stream.action))

    def _elapsed(self) -> float:
        return time.monotonic() - self._began

    @contextmanager
    def _live(self) -> Iterator[Live]:
        with Live(console=self._console, auto_refresh=False, transient=True) as live:
            yield live


def _speed(events: int, startup_s: float) -> float:
    """Such that all is over within the budget, and no slower than a demo of few events needs."""
    return max(_SLOWEST, events / max(10.0, BUDGET_S - startup_s - _AFTER_REPLAY_S))


def _demo_settings(settings: Settings, stream: Stream) -> Settings:
    """Its own home and weights; a real Kafka gets topics of this demo's own."""
    changes: dict[str, Any] = {
        "home": (settings.home / "demo").resolve(),
        # Where nobody comes back to an item, no contender has to rank what was seen.
        "trainer": settings.trainer.model_copy(update={"exclude_seen": not stream.repeats}),
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
            raise RunError(
                f"{home} is not empty and was not made by a demo; remove it, or name another "
                "folder with --home"
            )
        with lock_home(home):
            end_leftovers(home, lambda note: None)
        shutil.rmtree(home)
    close_home(home)
    (home / _MARKER).write_text(
        "Made by `everfresh demo`, which removes this folder and all in it when it runs again.\n"
    )
