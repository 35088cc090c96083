"""Law 6: a delta applies only to its named parent, and gives back the exact bytes."""

from __future__ import annotations

import pickle
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save

from everfresh.adapters.weights.deltas import (
    DeltaName,
    apply_delta,
    changed_rows,
    encode_delta,
    open_delta,
)
from everfresh.contracts.errors import CorruptVersion, WrongParent

NAME = DeltaName("model.safetensors", 4, 5)


def table(rows: int, dim: int = 8, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.arange(rows * dim, dtype=torch.float32).reshape(rows, dim).to(dtype)


def file(items: torch.Tensor, **more: torch.Tensor) -> bytes:
    return save({"items": items, "bias": torch.zeros(len(items)), "seed": torch.tensor(7), **more})


def touched(items: torch.Tensor, rows: list[int]) -> torch.Tensor:
    out = items.clone()
    out[rows] += 1
    return out


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64, torch.int8])
def test_a_delta_holds_exactly_the_rows_that_changed(dtype: torch.dtype) -> None:
    parent = table(50, dtype=dtype)
    delta = encode_delta(NAME, file(parent), file(touched(parent, [3, 49])))
    _, tensors = open_delta(NAME, delta)
    change = changed_rows(tensors, "items", 8 * parent.element_size())
    assert change is not None
    assert change.rows.tolist() == [3, 49]
    assert changed_rows(tensors, "bias", 4) is not None
    assert apply_delta(NAME, file(parent), delta) == file(touched(parent, [3, 49]))


@given(
    rows=st.integers(0, 12),
    grown=st.integers(0, 12),
    changed=st.sets(st.integers(0, 11)),
    dim=st.integers(0, 9),
)
@settings(max_examples=60, deadline=None)
def test_what_was_encoded_comes_back_bit_for_bit(
    rows: int, grown: int, changed: set[int], dim: int
) -> None:
    parent = table(rows, dim)
    child = touched(table(grown, dim), [row for row in changed if row < grown])
    before, after = file(parent, old=torch.ones(3)), file(child, new=torch.ones(2, 2))
    assert apply_delta(NAME, before, encode_delta(NAME, before, after)) == after


@given(parent=st.binary(max_size=200), child=st.binary(max_size=200))
@settings(max_examples=100, deadline=None)
def test_any_other_file_comes_back_as_well(parent: bytes, child: bytes) -> None:
    assert apply_delta(NAME, parent, encode_delta(NAME, parent, child)) == child


def test_a_bit_that_changes_the_sign_of_zero_or_a_nan_is_a_change() -> None:
    parent = torch.tensor([[0.0, 1.0], [float("nan"), 2.0], [3.0, 4.0]] + [[9.0, 9.0]] * 9)
    child = parent.clone()
    child[0, 0] = -0.0
    _, tensors = open_delta(NAME, encode_delta(NAME, file(parent), file(child)))
    change = changed_rows(tensors, "items", 8)
    assert change is not None
    assert change.rows.tolist() == [0]


def test_a_large_file_that_changes_a_little_is_a_small_delta() -> None:
    parent = bytes(torch.randint(0, 256, (200_000,), generator=torch.manual_seed(1)).tolist())
    child = parent[:50_000] + b"inserted" + parent[50_000:]
    delta = encode_delta(DeltaName("trainer.msgpack", 4, 5), parent, child)
    assert len(delta) < 2_000
    assert apply_delta(DeltaName("trainer.msgpack", 4, 5), parent, delta) == child


@pytest.mark.parametrize(
    "other",
    [DeltaName("model.safetensors", 3, 5), DeltaName("model.safetensors", 4, 6)],
    ids=["wrong parent", "out of order"],
)
def test_law_6_a_delta_applies_only_to_its_named_parent(other: DeltaName) -> None:
    parent = file(table(20))
    delta = encode_delta(NAME, parent, file(touched(table(20), [1])))
    with pytest.raises(WrongParent, match=r"from version 4 to 5"):
        apply_delta(other, parent, delta)


def test_a_parent_with_other_contents_is_refused_with_both_versions_named() -> None:
    parent, child = file(table(20)), file(touched(table(20), [1]))
    delta = encode_delta(NAME, parent, child)
    # Replayed: the parent at hand is already the child.
    with pytest.raises(WrongParent, match=r"from version 4 to 5.*nearest full snapshot"):
        apply_delta(NAME, child, delta)


def _flip(delta: bytes) -> bytes:
    at = len(delta) - 3
    return delta[:at] + bytes([delta[at] ^ 1]) + delta[at + 1 :]


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "truncated": lambda delta: delta[:-5],
    "cut in the header": lambda delta: delta[:20],
    "flipped bit": _flip,
    "foreign format": lambda delta: delta.replace(b"everfresh.delta/1", b"everfresh.delta/9"),
    "not a delta": lambda delta: save({"items": torch.zeros(3)}),
    "pickle": lambda delta: pickle.dumps({"items": [1, 2]}),
    "empty": lambda delta: b"",
    "unknown tensor": lambda delta: delta.replace(b"rows/items", b"rows/itemz"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damaged_and_foreign_deltas_are_refused_with_both_versions_named(kind: str) -> None:
    parent = file(table(40))
    delta = encode_delta(NAME, parent, file(touched(table(40), [1, 2])))
    with pytest.raises(CorruptVersion, match=r"from version 4 to 5 is damaged or foreign"):
        apply_delta(NAME, parent, DAMAGE[kind](delta))
