"""``everfresh items load`` and ``remove``: what has changed is written, and waited for."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from everfresh.adapters.files.items.columns import ItemColumns
from everfresh.adapters.files.items.reading import ItemCounts, ItemFiles, find_items, read_items
from everfresh.adapters.files.tables.mapping import mapping_of
from everfresh.adapters.files.tables.rejects import Rejects
from everfresh.adapters.kafka.items.writing import KafkaItemLog
from everfresh.adapters.machine.private_home import close_home
from everfresh.contracts.errors import DataFileError, SettingsError
from everfresh.contracts.event import ItemId, parse_id
from everfresh.contracts.items.record import Item, ItemChange
from everfresh.contracts.settings import Settings
from everfresh.infra.cli.commands.items.known import REMOVED, digest, known_digests
from everfresh.infra.cli.commands.items.text_embedding import (
    Encode,
    text_encoder,
    text_of,
    with_embeddings,
)
from everfresh.infra.cli.replicas import say_followed
from everfresh.infra.cli.running import with_brokers
from everfresh.infra.cli.terminal import Terminal
from everfresh.infra.run.run_record import is_supervised

_SAID_S = 5.0
_SHOWN = 3


@dataclass(frozen=True)
class LoadOptions:
    """What ``load`` is to do with what it reads."""

    tolerate: float = 0.0
    rejects: Path | None = None
    remove_others: bool = False
    check: bool = False
    embed: Sequence[str] = ()


@dataclass
class Loaded:
    """What became of the items of a file, and of the others."""

    new: int = 0
    changed: int = 0
    same: int = 0
    removed: int = 0

    @property
    def written(self) -> int:
        """Records that were written."""
        return self.new + self.changed + self.removed

    def __str__(self) -> str:
        words = f"{self.new:,} new, {self.changed:,} changed, {self.same:,} as they were"
        return words + (f", {self.removed:,} removed" if self.removed else "")


def columns_of(lists: Sequence[str], words: dict[str, Any]) -> ItemColumns:
    """The columns that the command line names; ``SettingsError`` where it cannot be meant."""
    said: dict[str, Any] = {name: str(word) for name, word in words.items() if word}
    for name in ("attributes", "text"):
        if name in said:
            said[name] = [column.strip() for column in said[name].split(",") if column.strip()]
    pairs = [pair.partition("=") for pair in lists]
    for column, equals, sign in pairs:
        if not (column and equals and sign):
            raise SettingsError(
                f"--list is COLUMN=SIGN, such as 'genres=|', found {column + equals + sign!r}"
            )
    said["lists"] = {column: sign for column, _, sign in pairs}
    return msgspec.convert(said, ItemColumns)


def run_load(
    settings: Settings,
    file: Path,
    dialect: dict[str, Any],
    columns: ItemColumns,
    options: LoadOptions,
) -> None:
    """Read the file twice: to check it whole, and to write from it.

    ``DataFileError`` where rows are wrong, before anything is written.
    """
    console = Terminal()
    home = settings.home.resolve()
    close_home(home)
    encode = text_encoder() if options.embed else None
    files = find_items(file, "", mapping_of(None, dialect), columns)
    for path in files.left_out[:_SHOWN]:
        console.print(f"left out, no table by its name: {path}", soft_wrap=True)
    if files.guesses:
        console.print(f"guessed: {' '.join(files.guesses)}", soft_wrap=True)
    says = files.columns
    if not (files.own or says.available or says.published or says.expires):
        console.print(
            "shown: every item, always; if a column says otherwise, name it with --available, "
            "--published or --expires",
            soft_wrap=True,
        )
    name = file.absolute().name.encode(errors="replace").decode()[:60]
    rejects = options.rejects or home / "rejects" / f"{name}.jsonl"
    counts = _checked(console, files, rejects, options)
    if options.remove_others and counts.rejects.count:
        raise DataFileError(
            f"{counts.rejects.count:,} rows of {file} were left out ({rejects}), and "
            "--remove-others would remove their items; mend the rows, or leave --remove-others out"
        )
    if options.check:
        return
    settings = with_brokers(settings)
    known = known_digests(settings, lambda line: console.print(line, soft_wrap=True))
    loaded = Loaded()
    changes = _changes(console, files, known, loaded, options, encode)
    with KafkaItemLog(settings.kafka.brokers, settings.kafka.topic_prefix) as log:
        end = log.write(changes)
    console.print(f"{loaded} ({_records(loaded.written)} written)")
    if end:
        _say_followed(console, settings, end - 1)


def run_remove(settings: Settings, ids: Sequence[str]) -> None:
    """Write that they are gone, and wait until the replicas know."""
    names = [parse_id(word) for word in ids]
    settings = with_brokers(settings)
    console = Terminal()
    with KafkaItemLog(settings.kafka.brokers, settings.kafka.topic_prefix) as log:
        end = log.write([ItemChange(name, None) for name in names])
    kinds = {"text" if isinstance(name, str) else "number" for name in names}
    shown = ", ".join(map(str, names[:10])) + (" …" if len(names) > 10 else "")
    console.print(f"removed: {shown} (id: {' and '.join(sorted(kinds))})", soft_wrap=True)
    _say_followed(console, settings, end - 1)


def _checked(console: Terminal, files: ItemFiles, path: Path, options: LoadOptions) -> ItemCounts:
    counts = ItemCounts(Rejects(path, options.tolerate, "items"))
    first: list[Item] = []
    texts = 0
    with counts.rejects as rejects:
        for item in read_items(files, counts, _Teller(console, "rows checked")):
            if len(first) < _SHOWN:
                first.append(item)
            texts += bool(options.embed and text_of(item, options.embed))
        rejects.judge(counts.rows)
    if not first:
        raise DataFileError("no row could become an item; --check and the list of rejects say why")
    if options.embed and not texts:
        raise SettingsError(
            f"no item has a text in {' or '.join(options.embed)}, which --embed names; name "
            "columns of text that are kept as attributes"
        )
    left = f"; {rejects.count:,} left out, see {path}" if rejects.count else ""
    console.print(f"{len(counts.ids):,} items in {counts.rows:,} rows{left}", soft_wrap=True)
    if options.check:
        for item in first:
            console.print(msgspec.json.encode(item).decode(), soft_wrap=True)
    return counts


def _changes(
    console: Terminal,
    files: ItemFiles,
    known: dict[ItemId, bytes],
    loaded: Loaded,
    options: LoadOptions,
    encode: Encode | None,
) -> Iterator[ItemChange]:
    counts = ItemCounts(Rejects(None, 1.0))
    items = read_items(files, counts, _Teller(console, "rows compared and written"))
    if encode is not None:
        items = with_embeddings(items, options.embed, encode)
    for item in items:
        before = known.get(item.id, REMOVED)
        if before == digest(item):
            loaded.same += 1
            continue
        loaded.new += before == REMOVED
        loaded.changed += before != REMOVED
        yield ItemChange(item.id, item)
    if options.remove_others:
        yield from _removals(known, counts.ids, loaded)


def _removals(
    known: dict[ItemId, bytes], kept: Iterable[ItemId], loaded: Loaded
) -> Iterator[ItemChange]:
    for name in known.keys() - set(kept):
        if known[name] != REMOVED:
            loaded.removed += 1
            yield ItemChange(name, None)


def _say_followed(console: Terminal, settings: Settings, offset: int) -> None:
    if not is_supervised(settings.home.resolve()):
        console.print("nothing is up in this home; replicas elsewhere follow when they read it")
        return
    say_followed(console, settings, "items_read", offset)


def _records(number: int) -> str:
    return "1 record" if number == 1 else f"{number:,} records"


class _Teller:
    """Prints how many rows have been read, now and then."""

    def __init__(self, console: Terminal, what: str) -> None:
        self._console, self._what = console, what
        self._said = time.monotonic()

    def __call__(self, rows: int) -> None:
        if time.monotonic() - self._said >= _SAID_S:
            self._said = time.monotonic()
            self._console.print(f"{rows:,} {self._what}")
