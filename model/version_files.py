"""The files of a version, among them the shorter item rows that replicas may read."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from everfresh.contracts.manifest import VOCABULARY_FILE, Rows, weights_file
from everfresh.contracts.safetensors import TableFile
from everfresh.model.recommender import Recommender
from everfresh.model.short_rows import decode_rows, encode_rows
from everfresh.model.touched_rows import Ints
from everfresh.model.weights import tensor_table


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


def version_tables(
    exact: Recommender, rows: Rows, touched: Ints | None = None, short: Tensor | None = None
) -> dict[str, TableFile]:
    """The files of ``exact`` as a version keeps them, where they are, and the weights that replicas
    read where those are others.

    ``touched`` are the item rows that training went over since the last version, ``None`` where
    that is not known; ``short`` are the item rows that replicas read, if they are at hand.
    """
    files = {
        weights_file(exact.rows): _weights(exact, exact.tensors(), touched),
        VOCABULARY_FILE: exact.vocabulary.tables(),
    }
    if rows == exact.rows:
        return files
    if short is None:
        short = encode_rows(exact.network.items.detach(), rows)
    served = {**exact.tensors(), "items": short}
    return {weights_file(rows): _weights(exact, served, touched), **files}


def _weights(exact: Recommender, tensors: Mapping[str, Tensor], touched: Ints | None) -> TableFile:
    of_items = ("items", "item_bias")
    tables = {
        name: tensor_table(tensor, touched if name in of_items else None)
        for name, tensor in tensors.items()
    }
    return TableFile({**tables, **exact.trends.tables(), **exact.index.tables()})


def version_files(exact: Recommender, rows: Rows) -> dict[str, bytes]:
    """The same as bytes."""
    return {name: file.to_bytes() for name, file in version_tables(exact, rows).items()}


def served_tensors(served: Recommender, rows: Ints | None = None) -> dict[str, Tensor]:
    """What the file of weights of a recommender holds, without a copy.

    Shorter item rows are made of what it computes with: all of them, or ``rows`` alone, and then
    what stands in the others means nothing.
    """
    items = served.network.items.detach()
    if served.rows == "float32" or rows is None:
        return served.tensors()
    at = torch.from_numpy(rows)
    made = encode_rows(items[at], served.rows)
    short = made.new_empty(len(items), made.shape[1])
    short[at] = made
    others = {**served.network.state_dict(), **served.side_tensors()}
    return {**others, "items": short, "seed": torch.tensor(served.seed)}


def begin_version(exact: Recommender) -> None:
    """A version holds all of it; from now on only what is touched differs."""
    exact.vocabulary.begin_version()
    exact.trends.begin_version()
    exact.index.begin_version()
