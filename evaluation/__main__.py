"""``python -m everfresh.evaluation FILE``: several strategies on a file's events, without Kafka.

Results go to standard output as they come, a JSON object per line (``evaluation.results``). The
network, learning rate, epochs and so on are those of the settings, as for the live trainer.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from array import array
from pathlib import Path

import torch

from everfresh.adapters.files.checks import event_check
from everfresh.adapters.files.opening import open_events
from everfresh.adapters.files.tables.mapping import Reading, decode_reading, encode_reading
from everfresh.adapters.observe.logs import run_main
from everfresh.contracts.errors import SettingsError
from everfresh.contracts.settings import Settings, load_settings
from everfresh.evaluation.catalogue_file import read_contents
from everfresh.evaluation.comparison import FROZEN, NOTHING, Comparison, compare
from everfresh.evaluation.file_windows import FileWindows, by_count, by_time
from everfresh.evaluation.results import EventsCut, Preparation, ResultLine, RowsRead, encode_line
from everfresh.trainer.learning.device import prepare_device


def main() -> None:
    """Read, cut, run; ``EverfreshError`` where file, format, strategy or windows are wrong."""
    options = _options()
    settings = load_settings()
    tuning = settings.trainer.model_copy(update={"seed": options.seed, "expire_after_s": 0.0})
    settings = settings.model_copy(update={"trainer": tuning})
    torch.set_num_threads(tuning.threads)
    prepare_device(tuning.device)
    contents = NOTHING if options.items is None else read_contents(options.items)
    windows = read_windows(options, settings)
    try:
        comparison = Comparison.of(
            windows,
            exclude_seen=options.exclude_seen,
            contents=contents,
            on_events=lambda events: _write(EventsCut(events, windows.number)),
        )
    except SettingsError as error:
        raise SettingsError(f"{options.file}: {error}") from None
    compare(comparison, options.strategies.split(","), settings, _write, options.against)


def read_windows(options: argparse.Namespace, settings: Settings) -> FileWindows:
    """The windows of the file, the first one by ``first`` larger."""
    reading = decode_reading(options.reading)
    check = event_check(settings.events)
    opened = open_events(options.file, reading, check, lambda rows: _write(RowsRead(rows)))
    file, counts = opened.events, opened.counts
    _write(RowsRead(counts.rows, counts.rejects.count))
    number = min(len(file), options.limit) if options.limit else len(file)
    label = by_count(number, options.windows, options.first)
    if options.window_s:
        times = array("q", (event.time for event in itertools.islice(file, number)))
        head = times[min(number - 1, round(number * options.first))] - times[0]
        label = by_time(options.window_s, times[0], head)
    return FileWindows(file, number, label, settings)


def _write(line: ResultLine | Preparation) -> None:
    sys.stdout.buffer.write(encode_line(line))
    sys.stdout.buffer.flush()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m everfresh.evaluation", description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--reading", default=encode_reading(Reading()), help="how to read it")
    parser.add_argument("--strategies", required=True, help="with commas between")
    parser.add_argument("--against", default=FROZEN, help="the contender that margins are over")
    parser.add_argument("--windows", type=int, default=50, help="windows of as many events each")
    parser.add_argument("--window-s", type=float, default=0.0, help="or windows of event time")
    parser.add_argument("--first", type=float, default=0.0, help="share of the first window")
    parser.add_argument("--limit", type=int, default=0, help="only the first events")
    parser.add_argument("--seed", type=int, default=17)
    parser.add_argument("--items", type=Path, help="the catalogue, in a file")
    parser.add_argument("--exclude-seen", action="store_true", help="rank items new to the user")
    return parser.parse_args()


if __name__ == "__main__":
    run_main(main)
