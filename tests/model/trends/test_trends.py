"""Trends in a version: they load as they were, and damaged ones are refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from everfresh.contracts.errors import CorruptVersion
from everfresh.model.row_changes import RowChange
from everfresh.model.trends.trends import PREFIX, Trends

ROWS = 6


def learnt() -> dict[str, Tensor]:
    trends = Trends(ROWS)
    trends.learn(np.array([0, 1, 2, 1]), np.array([1, 2, 1, 2]))
    return {name: tensor.clone() for name, tensor in trends.tensors().items()}


def changes(tensors: dict[str, Tensor]) -> dict[str, RowChange]:
    return {name: RowChange(tuple(t.shape), None, t.numpy()) for name, t in tensors.items()}


def test_they_load_as_they_were_saved() -> None:
    tensors = learnt()
    again = Trends.of(tensors, ROWS, "file").tensors()
    assert again.keys() == tensors.keys()
    assert all(torch.equal(again[name], tensor) for name, tensor in tensors.items())


def test_a_version_of_an_earlier_build_has_none_and_stays_as_it_is() -> None:
    trends = Trends.of({"items": torch.zeros(ROWS, 2)}, ROWS, "file")
    assert trends.clock == 0
    assert trends.tensors() == {}
    trends.learn(np.array([0]), np.array([5]))
    assert trends.tensors().keys() == learnt().keys()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("followers", ROWS),
        ("followers", -1),
        ("counted", 5),
        ("linked", 10**12),
        ("counts", float("nan")),
        ("links", float("inf")),
        ("weights", float("nan")),
    ],
)
def test_what_cannot_be_is_refused(name: str, value: float) -> None:
    tensors = learnt()
    tensors[f"{PREFIX}{name}"].view(-1)[0] = value
    with pytest.raises(CorruptVersion):
        Trends.of(tensors, ROWS, "file")
    taking = Trends.of(learnt(), ROWS, "file")
    with pytest.raises(CorruptVersion):
        taking.take(changes(tensors), ROWS, "file")


@pytest.mark.parametrize("name", ["counts", "counted", "followers", "links", "linked", "weights"])
def test_tables_that_are_missing_or_do_not_fit_are_refused(name: str) -> None:
    tensors = learnt()
    with pytest.raises(CorruptVersion):
        Trends.of({n: t for n, t in tensors.items() if n != f"{PREFIX}{name}"}, ROWS, "file")
    with pytest.raises(CorruptVersion):
        Trends.of(tensors | {f"{PREFIX}{name}": torch.zeros(1)}, ROWS, "file")
    with pytest.raises(CorruptVersion):
        Trends.of(tensors, ROWS + 1, "file")
