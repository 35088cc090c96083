"""Lists of rows: near ones first, each row once; what a version keeps of them and refuses."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from everfresh.contracts.errors import CorruptVersion
from everfresh.model.index.fitting import find_centroids, nearest_centroids
from everfresh.model.index.inverted_lists import LOOKS, PREFIX, InvertedLists

ROWS, DIM = 900, 8


def table() -> torch.Tensor:
    return torch.randn(ROWS, DIM, generator=torch.Generator().manual_seed(4))


def made() -> InvertedLists:
    items = table()
    centroids = find_centroids(items, np.arange(1, ROWS), 7)
    lists = InvertedLists()
    lists.fit(centroids, nearest_centroids(items, None, centroids), ROWS - 1)
    return lists


def test_rows_near_a_user_are_those_of_the_nearest_lists_each_once() -> None:
    lists = made()
    user = table()[5].numpy()
    rows = lists.near(user, 100)
    assert 100 <= len(rows) < 300
    assert len(set(rows.tolist())) == len(rows)
    of = lists.tensors()[f"{PREFIX}of"].numpy()
    likeness = lists.centroids @ user
    assert likeness[of[rows]].min() >= np.delete(likeness, of[rows]).max()
    assert 5 in rows


def test_all_rows_but_row_0_are_in_some_list() -> None:
    assert sorted(made().near(table()[5].numpy(), 10 * ROWS).tolist()) == list(range(1, ROWS))


def test_equal_rows_give_equal_lists_and_a_row_that_moves_changes_its_list_alone() -> None:
    lists, again = made(), made()
    assert all(map(torch.equal, lists.tensors().values(), again.tensors().values()))
    lists.begin_version()
    moved = table()
    moved[5], moved[9] = moved[30], 3.0 * moved[9]
    rows = np.array([5, 9])
    centroids = torch.from_numpy(lists.centroids)
    lists.put(rows, nearest_centroids(moved, rows, centroids))
    touched = {
        name: None if table.touched is None else np.frombuffer(table.touched, np.int64).tolist()
        for name, table in lists.tables().items()
    }
    of = lists.tensors()[f"{PREFIX}of"]
    assert of[5] == of[30]
    assert touched[f"{PREFIX}of"] == [5], "a longer row points the same way"
    assert touched[f"{PREFIX}centroids"] == []
    assert 5 in lists.near(moved[30].numpy(), 1)


def test_what_a_version_keeps_is_read_back_and_what_does_not_fit_is_refused() -> None:
    lists = made()
    lists.judge(np.array([0.9, 0.97, 0.99, 0.99], np.float32), LOOKS[2])
    tensors = lists.tensors()
    read = InvertedLists.of(tensors, ROWS, "f")
    assert (read.look, read.fitted, len(read)) == (LOOKS[2], (ROWS - 1, 0), ROWS)
    assert len(InvertedLists.of({}, ROWS, "f")) == InvertedLists.of({}, ROWS, "f").look == 0
    beyond = tensors[f"{PREFIX}of"].clone()
    beyond[3] = len(lists.centroids)
    wrong = [
        ({**tensors, f"{PREFIX}of": beyond}, ROWS),
        ({**tensors, f"{PREFIX}look": torch.tensor(-1)}, ROWS),
        ({name: tensor for name, tensor in tensors.items() if "look" not in name}, ROWS),
        (tensors, ROWS + 1),
    ]
    for found, rows in wrong:
        with pytest.raises(CorruptVersion, match="an index"):
            InvertedLists.of(found, rows, "f")
