"""``--check``: what a file of events holds and what is wrong with it, without Kafka or a run."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from everfresh.adapters.files.checks import event_check
from everfresh.adapters.files.opening import open_events, table_reading, told_format
from everfresh.adapters.files.tables.mapping import Reading
from everfresh.adapters.files.tables.reading import Counts, Source, find_source, read_rows
from everfresh.adapters.files.tables.rejects import Rejects
from everfresh.adapters.machine.private_home import close_home
from everfresh.contracts.errors import DataFileError
from everfresh.contracts.event import Event
from everfresh.contracts.settings import Settings
from everfresh.infra.cli.terminal import Terminal, styled

_FIRST = 3
_COUNTED = 1_000_000
"""Most users and items that are told apart."""
_SHOWN = 20
_SAID_S = 5.0
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Census:
    """What the events that were counted have in common; some 100 MB at most, however many."""

    def __init__(self) -> None:
        self.events = 0
        self.first: list[Event] = []
        self.types: Counter[str] = Counter()
        self.users: set[int | str] = set()
        self.items: set[int | str] = set()
        self.begin = self.end = 0
        self.in_order = True
        self._last = -1

    def count(self, event: Event) -> None:
        """The next event, in the order of the file."""
        if not self.events:
            self.begin = self.end = event.time
        self.events += 1
        if len(self.first) < _FIRST:
            self.first.append(event)
        self.types[event.type] += 1
        for known, name in ((self.users, event.user_id), (self.items, event.item_id)):
            if len(known) <= _COUNTED:
                known.add(name)
        self.begin, self.end = min(self.begin, event.time), max(self.end, event.time)
        self.in_order = self.in_order and event.time >= self._last
        self._last = event.time


def run_check(settings: Settings, file: Path, reading: Reading) -> None:
    """Print it all. ``DataFileError`` at the end where a replay would refuse the file."""
    console, census = Terminal(), Census()
    close_home(settings.home.resolve())
    check = event_check(settings.events)
    said = time.monotonic()

    def on_rows(rows: int) -> None:
        nonlocal said
        if time.monotonic() - said >= _SAID_S:
            said = time.monotonic()
            console.print(f"{rows:,} rows read")

    form = told_format(file, reading)
    if form:
        counts = Counts()
        for event in open_events(file, reading, check).events:
            census.count(event)
        counts.rows = census.events
        console.print(f"{file}: {form}", soft_wrap=True)
        _print(console, census, counts, "they are sent as they stand")
        return
    source = find_source(file, table_reading(reading))
    for line in described(file, source):
        console.print(line, soft_wrap=True)
    # All wrong rows are counted here; whether there are too many is said at the end.
    rejects = Rejects(Path(reading.rejects) if reading.rejects else None, 1.0)
    counts = Counts(rejects=rejects)
    with rejects:
        for event in read_rows(source, check, counts, on_rows):
            census.count(event)
    _print(console, census, counts, "they are sorted before they are sent")
    rejects.judge(counts.rows, reading.tolerate)
    if not census.events:
        raise DataFileError(f"{file} holds no event: none of its rows could become one")


def said_of_source(file: Path, reading: Reading) -> list[str]:
    """What a command says of a table before it reads it; nothing of a published dataset."""
    if told_format(file, reading):
        return []
    return described(file, find_source(file, table_reading(reading)))


def described(file: Path, source: Source) -> list[str]:
    """Lines: how many files of which format, which were left out, and what was guessed."""
    forms = Counter(form for _, form in source.parts)
    lines = [f"{file}: {', '.join(f'{count:,} {form}' for form, count in forms.items())}"]
    for what, files in (("empty", source.empty), ("no table by its name", source.left_out)):
        if files:
            names = ", ".join(path.name for path in files[:3])
            more = " …" if len(files) > 3 else ""
            lines.append(f"left out, {what}: {len(files):,} ({names}{more})")
    if source.guesses:
        lines.append(f"guessed: {' '.join(source.guesses)}")
    return lines


def _print(console: Terminal, census: Census, counts: Counts, unsorted: str) -> None:
    for title, text in _figures(census, counts, unsorted):
        console.print(styled((f"{title:<9}", "bold"), text), soft_wrap=True)
    for event in census.first:
        line = msgspec.json.encode(event if event.id else _without_id(event)).decode()
        console.print(styled("  ", line), soft_wrap=True)


def _figures(census: Census, counts: Counts, unsorted: str) -> Iterator[tuple[str, str]]:
    yield "events", f"{census.events:,} of {counts.rows:,} rows"
    if counts.headers:
        yield "headers", f"{counts.headers:,} came again between rows, and are left out"
    rejects = counts.rejects
    if rejects.count:
        reasons = ", ".join(f"{name} {count:,}" for name, count in rejects.reasons.most_common())
        yield "rejected", f"{rejects.count:,} ({reasons}); listed in {rejects.path}"
    if not census.events:
        return
    order = "" if census.in_order else f"; not in order: {unsorted}"
    yield "times", f"{_moment(census.begin)} to {_moment(census.end)}{order}"
    yield "users", _number(census.users)
    yield "items", _number(census.items)
    types = ", ".join(f"{name} {count:,}" for name, count in census.types.most_common(_SHOWN))
    yield "types", types
    yield "first", "as events, without the ids that are made of them"


def _number(names: set[int | str]) -> str:
    kinds = {"integers" if isinstance(name, int) else "text" for name in names}
    more = "more than " if len(names) > _COUNTED else ""
    return f"{more}{min(len(names), _COUNTED):,} ({' and '.join(sorted(kinds))})"


def _moment(ms: int) -> str:
    return (_EPOCH + timedelta(milliseconds=ms)).strftime("%Y-%m-%d %H:%M:%S UTC")


def _without_id(event: Event) -> dict[str, object]:
    fields = msgspec.structs.asdict(event)
    return {name: value for name, value in fields.items() if name != "id" and value is not None}
