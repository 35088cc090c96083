"""Versions of builds before trends knew the time, or where visits begin: they load, answer, and are
learnt from on."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from everfresh.contracts.errors import CorruptVersion
from everfresh.contracts.manifest import VOCABULARY_FILE, WEIGHTS_FILE
from everfresh.contracts.safetensors import tensor_places
from everfresh.model.recommender import TAIL, VERSION, Recommender
from everfresh.model.row_changes import RowChange, RowChanges
from everfresh.model.trend_learning import learn_trends, weigh_trends
from everfresh.model.trends import followers
from everfresh.model.trends.contexts import BACK
from everfresh.model.trends.counts import HALF_LIVES
from everfresh.model.trends.table import AGAIN, EARLIER_WEIGHTS, network_alone
from everfresh.model.weights import decode_tensors, encode_tensors
from tests.model.streams import SMALL, stream, trained

LATER = [1 + len(HALF_LIVES), AGAIN - 1]
"""The weights of what visits begin with, and of followings by those of their item alone."""
builds = pytest.mark.parametrize("build", [0, 1])
"""Before trends knew the time, and before they counted what visits begin with."""


def version(again: float) -> dict[str, bytes]:
    """Files of today's, by which what was had lately weighs so much."""
    made = trained(stream(3, longest=10))
    learn_trends(made, stream(3, longest=10))
    weights = network_alone() + np.random.default_rng(4).random((1, AGAIN + 1), np.float32)
    weights[:, AGAIN], weights[:, LATER] = again, 0.0
    made.weigh_trends(weights)
    return made.save()


def earlier(files: dict[str, bytes], build: int) -> dict[str, bytes]:
    """The same as an earlier build wrote it."""
    tensors = decode_tensors(files[WEIGHTS_FILE], "file")
    weights = np.delete(tensors["trends.weights"].numpy(), LATER, axis=1)
    if not build:
        del tensors["trends.time"]
        weights = weights[:BACK, :-1]
    assert weights.shape == EARLIER_WEIGHTS[build]
    tensors["trends.weights"] = torch.from_numpy(np.ascontiguousarray(weights))
    tensors["trends.counts"] = tensors["trends.counts"][:, : len(HALF_LIVES)].contiguous()
    links = tensors["trends.links"][:, :, : len(followers.HALF_LIVES)]
    tensors["trends.links"] = links.contiguous()
    return {**files, WEIGHTS_FILE: encode_tensors(tensors)}


def load(files: dict[str, bytes]) -> Recommender:
    return Recommender.load(SMALL.model_dump(), files)


def changes(raw: bytes) -> RowChanges:
    return {
        name: RowChange(tuple(tensor.shape), None, tensor.numpy())
        for name, tensor in decode_tensors(raw, "file").items()
    }


@builds
def test_it_is_what_it_was_and_answers_as_it_did(build: int) -> None:
    today = version(again=0.3 * build)
    loaded, same = load(earlier(today, build)), load(today)
    assert loaded.save() == earlier(today, build)
    examples = stream(8, users=20, items=34, longest=8)
    own, kept_up = loaded.ranks_by([VERSION, TAIL], examples, False)
    assert np.array_equal(own, same.ranks(examples, False))
    assert len(kept_up) == len(own)


@builds
@pytest.mark.parametrize("tail", [False, True])
def test_a_trainer_goes_on_from_it_and_writes_todays_form(tail: bool, build: int) -> None:
    loaded, examples = load(earlier(version(again=0.3), build)), stream(8, users=20)
    weigh_trends(loaded, examples, 5, tail=tail)
    learn_trends(loaded, examples)
    files = loaded.save()
    assert loaded.trends.weights.shape == network_alone().shape
    assert loaded.trends.time > 0
    assert (
        tensor_places(files[WEIGHTS_FILE]).keys()
        == tensor_places(version(again=0.3)[WEIGHTS_FILE]).keys()
    )
    assert load(files).save() == files


@builds
def test_a_replica_takes_the_next_version_whole(build: int) -> None:
    """Its rows are not written over those of another form."""
    today = version(again=0.3)
    weights, vocabulary = changes(today[WEIGHTS_FILE]), changes(today[VOCABULARY_FILE])
    with pytest.raises(CorruptVersion, match=r"trends|expected rows"):
        load(earlier(today, build)).take(weights, vocabulary)
    spare = load(today)
    spare.take(weights, vocabulary)
    assert torch.equal(spare.network.items, load(today).network.items)
