"""A file of a catalogue beside a file of events: what is known of items at a time."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from everfresh.adapters.files.items.columns import ItemColumns
from everfresh.adapters.files.items.reading import ItemCounts, find_items, read_items
from everfresh.adapters.files.tables.mapping import mapping_of
from everfresh.adapters.files.tables.rejects import Rejects
from everfresh.contracts.event import ItemId
from everfresh.evaluation.comparison import Contents
from everfresh.model.content.features import Features, features_of


def read_contents(path: Path) -> Contents:
    """What the items of a file are, as far as they are published by a time.

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
        return lambda end_ms: known
    by_time: dict[int, Mapping[ItemId, Features]] = {}

    def contents(end_ms: int) -> Mapping[ItemId, Features]:
        if end_ms not in by_time:
            by_time.clear()
            by_time[end_ms] = {
                item: each for item, each in known.items() if begins.get(item, 0) <= end_ms
            }
        return by_time[end_ms]

    return contents
