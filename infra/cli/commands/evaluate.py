"""``everfresh evaluate``: strategies of learning on a file's events; progress, table, plot.

A child process does the work (``python -m everfresh.evaluation``), so that this one, which draws,
loads no torch. The child ends with this one, however this one ends.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
from rich.box import SIMPLE
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from everfresh.adapters.machine.child_process import LeashedProcess
from everfresh.contracts.errors import DataFileError, RunError, SettingsError
from everfresh.contracts.settings import Settings
from everfresh.evaluation.results import ResultLine, WindowScore, decode_line
from everfresh.evaluation.summary import Evaluation, collect
from everfresh.infra.components import settings_environment

_PLAIN_S = 10.0
_GRACE_S = 2.0


class Request(msgspec.Struct, frozen=True):
    """What is to be evaluated; zeros are what was not asked for."""

    file: Path
    form: str
    strategies: str
    against: str
    windows: int
    window_s: float
    first: float
    limit: int
    seed: int
    exclude_seen: bool

    def command(self) -> list[str]:
        """The child's command line."""
        options = {
            "--format": self.form,
            "--strategies": self.strategies,
            "--against": self.against,
            "--windows": self.windows,
            "--window-s": self.window_s,
            "--first": self.first,
            "--limit": self.limit,
            "--seed": self.seed,
        }
        words = [str(word) for pair in options.items() for word in pair]
        seen = ["--exclude-seen"] if self.exclude_seen else []
        return [sys.executable, "-m", "everfresh.evaluation", str(self.file), *words, *seen]


def run_evaluate(
    settings: Settings, request: Request, json: Path | None, plot: Path | None
) -> None:
    """Return when table, plot and JSON are there; errors are those of the file or the settings."""
    if not request.file.exists():
        raise DataFileError(f"{request.file} does not exist; name an event file to evaluate on")
    for target in (json, plot):
        if target is not None and not target.resolve().parent.is_dir():
            raise SettingsError(f"{target} cannot be written: {target.parent} is no folder")
    console, began = Console(highlight=False), time.monotonic()
    names = request.strategies.split(",")
    found = collect(_shown(console, names, _lines(settings, request)))
    console.print(_table(found, request))
    console.print(
        f"fresh: HR@10 on the {found.fresh_events:,} whose item is younger than one window"
    )
    for line in _margins(found):
        console.print(line)
    console.print(f"{time.monotonic() - began:.0f} s in all; seed {request.seed}")
    if json is not None:
        json.write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=2) + b"\n")
    if plot is not None:
        from everfresh.infra.cli.views.evaluation_plot import draw  # noqa: PLC0415  (matplotlib is slow to load)

        draw(found, f"{request.form}: test, then train", plot)
        console.print(f"plot: {plot}")


def _lines(settings: Settings, request: Request) -> Iterator[ResultLine]:
    with tempfile.TemporaryFile() as errors:
        child = LeashedProcess(
            request.command(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors.fileno(),
            env={**os.environ, **settings_environment(settings)},
        )
        try:
            for raw in child.output():
                if (line := decode_line(raw)) is not None:
                    yield line
        finally:
            # It has closed its output: it ends by itself, or is not wanted any more.
            code = child.stop(_GRACE_S)
        errors.seek(0)
        said = errors.read().decode(errors="replace").splitlines()
    if code:
        raise RunError((said or [f"it ended with exit code {code}"])[-1].removeprefix("error: "))


def _shown(
    console: Console, names: Sequence[str], lines: Iterator[ResultLine]
) -> Iterator[ResultLine]:
    columns = (
        TextColumn("{task.description:12}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[score]}"),
        TimeElapsedColumn(),
    )
    told = time.monotonic()
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        tasks = {name: progress.add_task(name, total=None, start=False, score="") for name in names}
        for line in lines:
            yield line
            if not isinstance(line, WindowScore) or line.contender not in tasks:
                continue
            task, hr10 = tasks[line.contender], line.scores.get("hr10", 0.0)
            progress.start_task(task)
            score = f"HR@10 {hr10:.3f}"
            progress.update(task, total=line.windows, completed=line.window + 1, score=score)
            if not console.is_terminal and time.monotonic() - told >= _PLAIN_S:
                told = time.monotonic()
                console.print(f"{line.contender} {line.window + 1}/{line.windows}  {score}")


def _table(found: Evaluation, request: Request) -> Table:
    title = f"{request.file.name}: {found.events:,} events tested in {found.windows - 1} windows"
    gaps = [gap for line in found.contenders.values() for gap in line.margins.values()]
    if gaps:
        title += f"\nmargins below are over {gaps[0].over}"
    table = Table(title=title, box=SIMPLE, pad_edge=False)
    for column in ("contender", "HR@10", "NDCG@10", "MRR@10", "R@20", "fresh", "train s", "tokens"):
        table.add_column(column, justify="left" if column == "contender" else "right")
    for name, line in found.contenders.items():
        means = [line.scores.get(metric, 0.0) for metric in ("hr10", "ndcg10", "mrr10", "hr20")]
        table.add_row(
            name,
            *(f"{mean:.4f}" for mean in means),
            f"{line.fresh['hr10']:.4f}" if line.fresh else "",
            f"{line.train_s:.1f}",
            f"{line.tokens:,}" if line.tokens else "",
        )
    return table


def _margins(found: Evaluation) -> Iterator[str]:
    """What each gains over the contender that was chosen, with its interval, in both metrics."""
    for name, line in found.contenders.items():
        for metric, title in (("hr10", "HR@10"), ("ndcg10", "NDCG@10")):
            if (gap := line.margins.get(metric)) is not None:
                interval = f"[{gap.low:+.4f}, {gap.high:+.4f}]"
                said = f"{gap.mean:+.4f}, 95 % {interval}, {gap.users} users"
                yield f"{name} over {gap.over}, {title}: {said}"
