"""``everfresh evaluate``: compares training strategies on a file's events; progress, table, plot.

A child process does the work (``everfresh.evaluation``).
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
from rich.console import RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeElapsedColumn

from everfresh import evaluation
from everfresh.adapters.files.tables.mapping import Reading, encode_reading
from everfresh.contracts.foreign import printable
from everfresh.contracts.settings import Settings
from everfresh.evaluation.results import (
    GroupScore,
    ResultLine,
    WindowScore,
    decode_line,
)
from everfresh.evaluation.summary import Evaluation, collect
from everfresh.infra.cli.commands.check_file import said_of_source
from everfresh.infra.cli.evaluation_process import PLAIN_S, output_lines
from everfresh.infra.cli.kept_results import keep_results, require_places
from everfresh.infra.cli.terminal import Terminal, progress_text
from everfresh.infra.cli.views.tables import described, new_table

_TITLES = {"hr10": "HR@10", "ndcg10": "NDCG@10"}


class Request(msgspec.Struct, frozen=True):
    """What is to be evaluated: the options of the command; 0 is what was not asked for."""

    file: Path
    reading: Reading
    strategies: str
    against: str
    windows: int
    window_s: float
    first: float
    limit: int
    seed: int
    exclude_seen: bool
    items: Path | None = None

    def command(self) -> list[str]:
        """The child's command line."""
        options = {
            "--reading": encode_reading(self.reading),
            "--strategies": self.strategies,
            "--against": self.against,
            "--windows": self.windows,
            "--window-s": self.window_s,
            "--first": self.first,
            "--limit": self.limit,
            "--seed": self.seed,
        }
        words = [str(word) for pair in options.items() for word in pair]
        words += ["--exclude-seen"] if self.exclude_seen else []
        words += ["--items", str(self.items)] if self.items else []
        return [sys.executable, "-m", evaluation.__name__, str(self.file), *words]


def run_evaluate(
    settings: Settings, request: Request, json: Path | None, plot: Path | None
) -> None:
    """Return when table, plot and JSON are there; errors are those of the file or the settings."""
    require_places(request.file, json, plot)
    console, began = Terminal(), time.monotonic()
    names = request.strategies.split(",")
    for line in said_of_source(request.file, request.reading):
        console.print(line, soft_wrap=True)
    result = collect(_with_progress(console, names, _lines(settings, request, console)))
    for part in (_table(result, request), *_groups(result), *_margins(result)):
        console.print(part)
    console.print(f"{time.monotonic() - began:.0f} s in all; seed {request.seed}")

    def drawn(path: Path) -> None:
        from everfresh.infra.cli.views.evaluation_plot import draw  # noqa: PLC0415  (matplotlib is slow to load)

        draw(result, f"{request.file.name}: each window scored before training on it", path)

    keep_results(console, result, json, plot, drawn)


def _lines(settings: Settings, request: Request, console: Terminal) -> Iterator[ResultLine]:
    for raw in output_lines(request.command(), settings, console, request.reading.rejects):
        if (line := decode_line(raw)) is not None:
            yield line


def _with_progress(
    console: Terminal, names: Sequence[str], lines: Iterator[ResultLine]
) -> Iterator[ResultLine]:
    """The same lines; meanwhile a bar for each strategy, or now and then a line of text."""
    columns = (
        progress_text("{task.description:12}"),
        BarColumn(),
        MofNCompleteColumn(),
        progress_text("{task.fields[score]}"),
        TimeElapsedColumn(),
    )
    printed = time.monotonic()
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        tasks = {
            name: progress.add_task(printable(name), total=None, start=False, score="")
            for name in names
        }
        for line in lines:
            yield line
            if not isinstance(line, WindowScore) or line.contender not in tasks:
                continue
            task, hr10 = tasks[line.contender], line.scores.get("hr10", 0.0)
            progress.start_task(task)
            score = f"HR@10 {hr10:.3f}"
            progress.update(task, total=line.windows, completed=line.window + 1, score=score)
            if not console.is_terminal and time.monotonic() - printed >= PLAIN_S:
                printed = time.monotonic()
                console.print(f"{line.contender}: window {line.window + 1}/{line.windows}, {score}")


def _table(result: Evaluation, request: Request) -> RenderableType:
    figures = ("HR@10 ↑", "NDCG@10 ↑", "MRR@10 ↑", "R@20 ↑", "train s ↓", "tokens ↓")
    table = new_table("contender", *figures, right=figures)
    for name, of in result.contenders.items():
        means = [of.scores.get(metric, 0.0) for metric in ("hr10", "ndcg10", "mrr10", "hr20")]
        table.add_row(
            name,
            *(f"{mean:.4f}" for mean in means),
            f"{of.train_s:.1f}",
            f"{of.tokens:,}" if of.tokens else "",
        )
    title = f"{request.file.name}: {result.events:,} events in {result.windows - 1} windows"
    note = (
        "Each window is scored before training on it. ↑ more is better, ↓ less is better. HR@10 "
        "and R@20: share of events whose item was among the 10 or 20 ranked highest; NDCG@10 and "
        "MRR@10 also count how high. train s: processor seconds of all training. tokens: events "
        "fed to the network in training. popularity, markov and vmis-knn learn by counting; the "
        "first two fade as the windows before would have liked best, the third learns by the "
        "click. (network): the strategy's network without what it counts."
    )
    return described(title, table, note)


def _groups(result: Evaluation) -> Iterator[RenderableType]:
    """HR@10 by place and age; a column's head says how many events are behind it."""
    counted = next(iter(result.contenders.values())).groups
    if not counted:
        return
    heads = {name: f"{name} ({group.events:,}) ↑" for name, group in counted.items()}
    table = new_table("contender", *heads.values(), right=tuple(heads.values()))
    for name, of in result.contenders.items():
        scored = [of.groups.get(group, GroupScore(0, {})) for group in heads]
        means = [group.scores.get("hr10") for group in scored]
        table.add_row(name, *("" if mean is None else f"{mean:.4f}" for mean in means))
    note = (
        "HR@10 over events of a kind, with their number. By place: the first event that is known "
        "of a user, the second, later ones. By age of the item, from the third window on: fresh, "
        "first seen in the window before, and older. Items that a window itself brings are neither."
    )
    yield described("HR@10 by place of the event and age of its item", table, note)


def _margins(result: Evaluation) -> Iterator[str]:
    """How far each contender is ahead of the one that was chosen, in both metrics."""
    margins = [
        margin
        for figures in result.contenders.values()
        for metric in ("hr10", "ndcg10")
        if (margin := figures.margins.get(metric)) is not None
    ]
    if not margins:
        return
    for over in dict.fromkeys(margin.over for margin in margins):
        yield (
            f"Compared with {over}, user by user (above 0 is better; where the interval "
            "includes 0, the difference may be chance):"
        )
        for margin in margins:
            if margin.over == over:
                yield (
                    f"  {margin.contender}, {_TITLES[margin.metric]}: {margin.mean:+.4f}, 95 % "
                    f"interval {margin.low:+.4f} to {margin.high:+.4f}, {margin.users} users"
                )
