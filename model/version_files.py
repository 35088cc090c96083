"""The files of a version, among them the shorter item rows that replicas may read."""

from __future__ import annotations

from everfresh.contracts.manifest import Rows
from everfresh.model.recommender import Recommender
from everfresh.model.short_rows import decode_rows, encode_rows


def with_item_rows(exact: Recommender, rows: Rows) -> Recommender:
    """A recommender of its own with such rows, or ``exact`` itself where they are float32.

    ``exact`` stays as it is, and training goes on from it.
    """
    if rows == exact.rows:
        return exact
    shorter = Recommender.load(exact.settings.model_dump(), exact.save())
    short = encode_rows(shorter.network.items.detach(), rows)
    shorter.network.items.data = decode_rows(short, rows, "items")
    shorter.rows = rows
    return shorter


def version_files(exact: Recommender, rows: Rows) -> dict[str, bytes]:
    """The files of ``exact``, and beside them the weights that replicas read where others."""
    files = exact.save()
    return files if rows == exact.rows else {**with_item_rows(exact, rows).save(), **files}
