"""Digests kept up row by row equal those of the whole, and bind all that a file says."""

from __future__ import annotations

import random

import numpy as np
import pytest
from safetensors.numpy import save

from everfresh.adapters.weights.row_digests import LEAF_BYTES, FileDigests, beside
from everfresh.contracts.safetensors import TableFile
from everfresh.model.touched_rows import table_bytes

Tables = dict[str, np.ndarray]


def made(seed: int, rows: int) -> Tables:
    draw = np.random.default_rng(seed)
    return {
        "items": draw.random((rows, 16), np.float32),
        "bias": draw.random(rows, np.float32),
        "ids": draw.integers(0, 9, (rows, 40)).astype(np.uint8),
        "step": np.array(float(seed), np.float32),
        "wide": draw.random((3, LEAF_BYTES), np.float64),
        "none": np.zeros((0, 4), np.int64),
    }


def file(tables: Tables, touched: dict[str, np.ndarray | None] | None = None) -> TableFile:
    rows = touched or {}
    return TableFile({name: table_bytes(each, rows.get(name)) for name, each in tables.items()})


def test_tables_as_a_file_are_what_safetensors_writes() -> None:
    tables = made(1, 70)
    assert file(tables).to_bytes() == save(tables)
    assert len(file(tables)) == len(save(tables))


@pytest.mark.parametrize("seed", range(4))
def test_digests_kept_up_by_touched_rows_equal_those_of_the_whole_file(seed: int) -> None:
    chance, draw = random.Random(seed), np.random.default_rng(seed)
    tables = made(seed, 30)
    digests = FileDigests()
    digests.take_in(file(tables))
    for _ in range(12):
        had = len(tables["items"])
        more = made(chance.randrange(99), chance.choice((0, 1, 40, 1500)))
        for name in ("items", "bias", "ids"):
            tables[name] = np.concatenate([tables[name], more[name]])
        rows = np.unique(draw.integers(0, had, chance.randrange(1, 9)))
        tables["items"][rows] += 1
        tables["step"] = np.asarray(tables["step"] + 1)
        known = np.append(rows, np.arange(had, len(tables["items"])))
        before = np.array(known)
        changes = digests.take_in(file(tables, {"items": before, "bias": known[len(rows) :]}))
        assert digests.root == FileDigests.of(save(tables)).root
        items, ids = changes["items"], changes["ids"]
        assert items is not None
        assert items.tolist() == known.tolist()
        assert ids is not None, "found by its leaves, where nobody said what was touched"
        assert set(ids.tolist()) >= set(range(had, len(tables["ids"])))


def test_a_row_that_moved_and_was_not_named_is_another_root_than_the_whole_files() -> None:
    tables = made(2, 4000)
    digests = FileDigests()
    digests.take_in(file(tables))
    tables["items"][7] += 1
    digests.take_in(file(tables, {"items": np.array([3000])}))
    assert digests.root != FileDigests.of(save(tables)).root


def test_the_root_binds_names_types_shapes_places_and_every_byte() -> None:
    tables = made(3, 300)
    roots = {FileDigests.of(save(tables)).root}
    swapped = {**tables, "items": tables["items"][::-1].copy()}
    reshaped = {**tables, "items": tables["items"].reshape(600, 8)}
    typed = {**tables, "items": tables["items"].view(np.int32)}
    renamed = {**tables, "item": tables["items"]}
    del renamed["items"]
    flipped = {**tables, "ids": tables["ids"].copy()}
    flipped["ids"][299, 39] ^= 1
    for other in (swapped, reshaped, typed, renamed, flipped):
        roots.add(FileDigests.of(save(other)).root)
    assert len(roots) == 6


def test_bytes_that_no_tensor_has_are_refused() -> None:
    with pytest.raises(ValueError, match="more bytes"):
        FileDigests.of(save(made(1, 9)) + b"x")


def test_rows_beside_are_those_of_the_same_leaf() -> None:
    each = LEAF_BYTES // 64
    assert beside(np.array([0, each + 1]), 64, 2 * each - 3).tolist() == list(range(2 * each - 3))
    assert beside(np.array([each]), 64, 9 * each).tolist() == list(range(each, 2 * each))
