"""A replica beside an unsigned store into which others write: what it has goes on answering."""

from __future__ import annotations

import json
import random
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load, save

from everfresh.adapters.weights.deltas import DELTA_FORMAT
from everfresh.contracts.errors import CorruptVersion
from everfresh.contracts.manifest import MODEL_FILES, VOCABULARY_FILE, WEIGHTS_FILE
from everfresh.contracts.safetensors import file_metadata
from everfresh.model import weights
from everfresh.model.network.hstu import HSTU
from everfresh.model.recommender import Recommender
from everfresh.model.row_changes import RowChange
from everfresh.model.vocabulary.vocabulary import Vocabulary
from tests.adapters.weights.forged_versions import forge
from tests.serving.versions.lineage import MODEL, Lineage

MANY = 1 << 20
"""Rows that a delta is said to lead to: of 64 bytes and more, so that room for them is seen."""
FEW = 16 << 20


@pytest.fixture
def lineage(tmp_path: Path) -> Lineage:
    """Three versions, of which the first two have been live; the third comes as deltas."""
    made, chance = Lineage(tmp_path), random.Random(3)
    for _ in range(2):
        made.follower.step()
        made.train(chance)
        made.write()
    return made


def require_refused(lineage: Lineage, words: str) -> None:
    """In little memory, and version 2 answers on, as it was written."""
    tracemalloc.start()
    try:
        assert not lineage.follower.step()
        assert tracemalloc.get_traced_memory()[1] < FEW
    finally:
        tracemalloc.stop()
    assert words in (lineage.follower.state.reason or "")
    assert lineage.live()[0] == 2
    lineage.require_as_written()


def said_longer(raw: bytes, tensor: str) -> bytes:
    """The delta, with a header that says the tensor has a million rows; it brings no more."""
    tensors = load(raw)
    entries: dict[str, Any] = json.loads(bytes(tensors["header"])[8:])
    begin, end = entries[tensor]["data_offsets"]
    rows = entries[tensor]["shape"][0]
    more = (MANY - rows) * ((end - begin) // rows)
    for entry in entries.values():
        if entry["data_offsets"][0] > begin:
            entry["data_offsets"] = [at + more for at in entry["data_offsets"]]
    entries[tensor] |= {
        "shape": [MANY, *entries[tensor]["shape"][1:]],
        "data_offsets": [begin, end + more],
    }
    packed = json.dumps(entries).encode()
    tensors["header"] = np.frombuffer(len(packed).to_bytes(8, "little") + packed, np.uint8)
    return save(tensors, file_metadata(raw))


@pytest.mark.parametrize(
    ("file", "tensor"),
    [
        (WEIGHTS_FILE, "items"),
        (WEIGHTS_FILE, "item_bias"),
        (VOCABULARY_FILE, "kinds"),
        (VOCABULARY_FILE, "ids"),
        (VOCABULARY_FILE, "sightings"),
    ],
)
def test_rows_that_a_delta_only_says_are_there_take_no_room(
    lineage: Lineage, monkeypatch: pytest.MonkeyPatch, file: str, tensor: str
) -> None:
    lengthen = weights.lengthen

    def bounded(tensor: torch.Tensor, rows: int) -> torch.Tensor:
        assert rows < MANY, "room was made for what is not there"
        return lengthen(tensor, rows)

    monkeypatch.setattr(weights, "lengthen", bounded)
    name = f"{file}.delta"
    raw = (lineage.folder / "v0000000003" / name).read_bytes()
    assert DELTA_FORMAT.encode() in raw
    forge(lineage.folder, 3, name, said_longer(raw, tensor))
    require_refused(lineage, f"the delta of {file} from version 2 to 3 is damaged or foreign")


@pytest.mark.parametrize(
    "asked",
    [{"dim": 20_000}, {"dim": 2 * 10**9}, {"blocks": 10**12}, {"blocks": 2}, {"max_length": 8192}],
)
def test_a_manifest_that_asks_for_another_network_builds_none(
    lineage: Lineage, monkeypatch: pytest.MonkeyPatch, asked: dict[str, int]
) -> None:
    built = HSTU.__init__

    def build(network: HSTU, settings: object) -> None:
        assert torch.empty(0).is_meta or settings == MODEL, "a network was given room"
        built(network, settings)  # type: ignore[arg-type]

    monkeypatch.setattr(HSTU, "__init__", build)
    forge(lineage.folder, 3, changed={"model": {**MODEL.model_dump(mode="json"), **asked}})
    require_refused(lineage, "CorruptVersion: model.safetensors: ")


def test_a_file_that_is_said_to_be_huge_is_not_fetched(lineage: Lineage) -> None:
    for name in MODEL_FILES:
        forge(lineage.folder, 3, f"{name}.delta", said=10_900_000_000)
    require_refused(lineage, "is said to have 10,900,000,000 bytes; at most 4,294,967,296 are read")


def test_changed_rows_bring_all_that_is_new() -> None:
    before = np.zeros((4, 2), np.float32)
    change = RowChange((MANY, 2), np.array([1, 5]), np.ones((2, 2), np.float32))
    with pytest.raises(CorruptVersion, match="from 4 rows to 1,048,576, and bring 1 new ones"):
        change.of(before)
    with pytest.raises(ValueError, match="do not follow"):
        RowChange((4, 9), np.array([1]), np.ones((1, 9), np.float32)).of(before)
    with pytest.raises(CorruptVersion, match="do not fit"):
        RowChange((4, 2), np.array([2, 1]), np.ones((2, 2), np.float32))
    brought = RowChange((5, 2), np.array([1, 4]), np.ones((2, 2), np.float32)).of(before)
    assert brought[:, 0].tolist() == [0, 1, 0, 0, 1]


def test_a_network_with_fewer_blocks_than_it_is_said_to_have_is_refused() -> None:
    files = Recommender(MODEL, Vocabulary(), 1).save()
    with pytest.raises(CorruptVersion, match="first misfit blocks"):
        Recommender.load({**MODEL.model_dump(), "blocks": 3}, files)
    with pytest.raises(CorruptVersion, match=r"first misfit|expected 1,000,000"):
        Recommender.load({**MODEL.model_dump(), "blocks": 10**6}, files)
