"""A file of a catalogue beside a file of events: what each window knows of items."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from everfresh.adapters.files.items.columns import ItemColumns
from everfresh.adapters.files.items.reading import ItemCounts, find_items, read_items
from everfresh.adapters.files.tables.mapping import mapping_of
from everfresh.adapters.files.tables.rejects import Rejects
from everfresh.contracts.event import ItemId
from everfresh.contracts.window import TrainingWindow
from everfresh.evaluation.comparison import Contents
from everfresh.model.content.features import Features, features_of


def read_contents(path: Path, windows: Sequence[TrainingWindow]) -> Contents:
    """What the items of a file are, as far as they are published by the end of a window.

    Columns are guessed, as ``everfresh items load`` does; ``SettingsError`` where that is asked
    for. ``DataFileError`` for a wrong row: what is measured must be what would be loaded.
    """
    counts = ItemCounts(Rejects(None, 0.0, "items"))
    with counts.rejects as rejects:
        files = find_items(path, "", mapping_of(None, {}), ItemColumns())
        items = list(read_items(files, counts, lambda rows: None))
        rejects.judge(counts.rows)
    # The last ones are taken for the newest.
    known = {item.id: features_of(item) for item in reversed(items) if item.available}
    begins = {item.id: item.published for item in items if item.published is not None}
    if not begins:
        return lambda at: known
    ends = [max(t.time for each in window.examples for t in each.targets) for window in windows]
    by_window: dict[int, Mapping[ItemId, Features]] = {}

    def contents(at: int) -> Mapping[ItemId, Features]:
        if at not in by_window:
            by_window.clear()
            by_window[at] = {
                item: each for item, each in known.items() if begins.get(item, 0) <= ends[at]
            }
        return by_window[at]

    return contents
