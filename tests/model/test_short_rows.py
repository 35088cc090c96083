"""Item rows kept in fewer bytes: what that costs, and what it must not."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from everfresh.contracts.errors import CorruptVersion
from everfresh.contracts.manifest import SERVED_FILE, VOCABULARY_FILE, WEIGHTS_FILE, Rows
from everfresh.contracts.sequence import Interaction
from everfresh.contracts.settings import ModelSettings
from everfresh.contracts.window import DecodedExample
from everfresh.model.recommender import Recommender
from everfresh.model.row_changes import RowChange
from everfresh.model.short_rows import decode_change, decode_rows, encode_rows
from everfresh.model.version_files import version_files, with_item_rows
from everfresh.model.vocabulary.vocabulary import Vocabulary

SHORT: list[Rows] = ["bf16", "int8"]
MODEL = ModelSettings(dim=16, blocks=1, heads=2, max_length=8, dropout=0.0)


def table() -> torch.Tensor:
    """Rows of every size, zeros and numbers too small for a scale among them."""
    draw = torch.Generator().manual_seed(1)
    sizes = torch.exp(10 * torch.randn(5_000, 1, generator=draw))
    made = torch.randn(5_000, 16, generator=draw) * sizes
    made[0] = 0.0
    made[1] = 1e-40
    made[2] = 3e38
    return made


def made(items: int = 300) -> Recommender:
    recommender = Recommender(MODEL, Vocabulary(), seed=1)
    events = [Interaction(item, "view", 0) for item in range(items)]
    places = list(range(items))
    recommender.admit([DecodedExample(0, [], events, places, places)])
    return recommender


@pytest.mark.parametrize("rows", SHORT)
def test_keeping_what_was_read_back_loses_nothing_more(rows: Rows) -> None:
    kept = encode_rows(table(), rows)
    assert torch.equal(encode_rows(decode_rows(kept, rows, "file"), rows), kept)


@pytest.mark.parametrize(("rows", "share"), [("bf16", 2**-8), ("int8", 1.01 / 254)])
def test_no_number_moves_by_more_than_its_row_allows(rows: Rows, share: float) -> None:
    before = table()[3:]
    after = decode_rows(encode_rows(before, rows), rows, "file")
    assert bool(((after - before).abs() <= share * before.abs().amax(1, keepdim=True)).all())


def test_rows_of_one_item_are_kept_without_regard_to_others() -> None:
    before = table()
    for rows in SHORT:
        alone = encode_rows(before[7:9], rows)
        assert torch.equal(encode_rows(before, rows)[7:9], alone)


@pytest.mark.parametrize("rows", ["float32", *SHORT])
def test_rows_kept_otherwise_than_the_manifest_says_are_refused_by_name(rows: Rows) -> None:
    others: list[Rows] = ["float32", *SHORT]
    others.remove(rows)
    for other in others:
        kept = encode_rows(table(), other)
        with pytest.raises(CorruptVersion, match=f"kept as {rows} were expected.*{kept.dtype}"):
            decode_rows(kept, rows, "served.safetensors")
    change = RowChange((4, 16), np.array([1]), np.zeros((1, 16), np.int64))
    if rows != "float32":
        with pytest.raises(CorruptVersion, match=f"kept as {rows} were expected"):
            decode_change(change, rows, "served.safetensors")


@pytest.mark.parametrize("rows", SHORT)
def test_what_a_replica_reads_is_a_file_of_its_own_and_shorter(rows: Rows) -> None:
    exact = made()
    before = exact.save()
    files = with_item_rows(exact, rows).save()
    assert exact.save() == before, "what training goes on from is as it was"
    assert set(files) == {SERVED_FILE, VOCABULARY_FILE}
    assert files[VOCABULARY_FILE] == before[VOCABULARY_FILE]
    saved = len(before[WEIGHTS_FILE]) - len(files[SERVED_FILE])
    assert saved == exact.network.items.numel() * 4 - encode_rows(table()[:301], rows).nbytes
    again = Recommender.load(MODEL.model_dump(), files, share=True, rows=rows)
    assert again.save() == files
    assert with_item_rows(again, rows) is again


def test_exact_rows_are_served_as_they_are() -> None:
    exact = made()
    assert with_item_rows(exact, "float32") is exact
    assert set(exact.save()) == {WEIGHTS_FILE, VOCABULARY_FILE}


@pytest.mark.parametrize("rows", ["float32", *SHORT])
def test_the_exact_files_are_kept_whatever_replicas_read(rows: Rows) -> None:
    exact = made()
    before = exact.save()
    files = version_files(exact, rows)
    assert before.items() <= files.items()
    assert (SERVED_FILE in files) == (rows != "float32")
    assert with_item_rows(exact, rows).save().items() <= files.items()
