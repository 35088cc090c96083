"""Trends in a version: they load as they were, and damaged ones are refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from everfresh.contracts.errors import CorruptVersion
from everfresh.model.row_changes import RowChange
from everfresh.model.trends import followers
from everfresh.model.trends.contexts import Sightings
from everfresh.model.trends.counts import HALF_LIVES
from everfresh.model.trends.table import EARLIER_WEIGHTS
from everfresh.model.trends.trends import PREFIX, Trends

ROWS = 6


def learnt() -> dict[str, Tensor]:
    trends = Trends(ROWS)
    before, at = np.array([0, 1, 2, 1]), np.array([0, 990, 990, 990])
    trends.learn(Sightings.of(np.array([1, 2, 1, 2]), before, np.full(4, 1_000), at))
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
    trends.learn(Sightings.of(*np.array([[5], [0], [1_000], [0]])))
    assert trends.tensors().keys() == learnt().keys()


def earlier(build: int) -> dict[str, Tensor]:
    """As earlier builds wrote them: fewer weights and counts; by the first of them no time."""
    tensors = learnt()
    if not build:
        del tensors[f"{PREFIX}time"]
    generator = torch.Generator().manual_seed(4)
    weights = torch.rand(EARLIER_WEIGHTS[build], generator=generator)
    counts = tensors[f"{PREFIX}counts"][:, : len(HALF_LIVES)].clone()
    links = tensors[f"{PREFIX}links"][:, :, : len(followers.HALF_LIVES)].clone()
    fewer = {"weights": weights, "counts": counts, "links": links}
    return tensors | {f"{PREFIX}{name}": tensor for name, tensor in fewer.items()}


@pytest.mark.parametrize("build", [0, 1])
def test_trends_of_earlier_builds_load_as_they_are_and_are_learnt_from_on(build: int) -> None:
    tensors = earlier(build)
    trends = Trends.of(tensors, ROWS, "file")
    assert trends.time == (1_000 if build else 0)
    again = trends.tensors()
    assert again.keys() == tensors.keys()
    assert all(torch.equal(again[name], tensor) for name, tensor in tensors.items())
    taking = Trends.of(earlier(build), ROWS, "file")
    taking.take(changes(tensors), ROWS, "file")
    assert torch.equal(taking.tensors()[f"{PREFIX}weights"], tensors[f"{PREFIX}weights"])
    trends.own()
    trends.learn(Sightings.of(*np.array([[5], [0], [1_000], [0]])))
    # A window whose items are all new leaves the weights as they were.
    again = trends.tensors()
    assert again.keys() == learnt().keys()
    assert Trends.of(again, ROWS, "file").time == trends.time == 1_000


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
