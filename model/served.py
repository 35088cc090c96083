"""What replicas make of a recommender where they read shorter item rows."""

from __future__ import annotations

from everfresh.contracts.manifest import Rows
from everfresh.model.recommender import Recommender
from everfresh.model.short_rows import decode_rows, encode_rows


def served(exact: Recommender, rows: Rows) -> Recommender:
    """A recommender of its own with such rows, or ``exact`` itself where they are float32.

    ``exact`` stays as it is, and training goes on from it.
    """
    if rows == exact.rows:
        return exact
    made = Recommender.load(exact.settings.model_dump(), exact.save())
    short = encode_rows(made.network.items.detach(), rows)
    made.network.items.data = decode_rows(short, rows, "items")
    made.rows = rows
    return made


def saved(exact: Recommender, rows: Rows) -> dict[str, bytes]:
    """The files of ``exact``, and beside them the weights that replicas read where others."""
    files = exact.save()
    return files if rows == exact.rows else {**served(exact, rows).save(), **files}
