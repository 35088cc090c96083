"""Versions that an earlier build wrote: ``data/earlier_build``, made at commit 85783e7.

That build trained the first four windows of :data:`LOG` by ``small_settings`` into that folder, as
a snapshot and three deltas.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec
import pytest
import torch
from safetensors.torch import load

from everfresh.adapters.memory import MemoryReportSink, MemoryWindowSource
from everfresh.adapters.weights.store import FsspecWeightStore
from everfresh.contracts.manifest import Pointer
from everfresh.contracts.safetensors import whole
from everfresh.contracts.settings import Settings
from everfresh.model.metrics import MISS
from everfresh.model.opponents.opponent_file import encode_opponents, opponents_of_counts
from everfresh.trainer.checkpoint import (
    MEMORY_FILE,
    MEMORY_FORMAT,
    OPPONENTS_FILE,
    OPTIMIZER_FILE,
    encode_files,
    restore,
)
from everfresh.trainer.loop import TrainerLoop
from tests.model.streams import example
from tests.trainer.logs import make_log

LOG = make_log(2, list(range(3, 9)), users=12)
NEWEST = 4


@pytest.fixture
def store(tmp_path: Path) -> FsspecWeightStore:
    shutil.copytree(Path(__file__).parent / "data" / "earlier_build", tmp_path / "weights")
    return FsspecWeightStore(str(tmp_path / "weights"), 100)


def test_a_version_of_an_earlier_build_still_loads(
    store: FsspecWeightStore, small_settings: Settings
) -> None:
    assert store.versions() == [1, 2, 3, NEWEST]
    for version in store.versions():
        manifest = store.manifest(version)
        checkpoint = restore(store, manifest, small_settings)
        written = {file.name: store.read(manifest, file.name) for file in manifest.files}
        frozen = None if version == 1 else checkpoint.frozen
        # Nothing of it is lost or named otherwise: it encodes to the bytes that it came from. What
        # the opponents had counted stands in a file of their own now. Of rows' moments the first
        # ones are gone, and the others stand as of one step, in fewer bits.
        encoded = encode_files(checkpoint.learner, frozen, checkpoint.window, manifest.rows)
        again = {name: whole(file) for name, file in encoded.items()}
        assert again.pop(OPPONENTS_FILE)
        memory, earlier = (
            msgspec.msgpack.decode(files.pop(MEMORY_FILE)) for files in (again, written)
        )
        moments, had = (load(files.pop(OPTIMIZER_FILE)) for files in (again, written))
        tables = checkpoint.learner.network.optimizer.rows.tables
        (step,) = {int(had.pop(f"{name}/step")) for name in tables}
        assert all(had.pop(f"{name}/exp_avg").any() for name in tables)
        assert int(moments.pop("rows/step")) == step
        assert set(moments.pop("rows/stepped").tolist()) == {step}
        assert moments.keys() == had.keys()
        assert all(torch.equal(moments[name], had[name].to(moments[name])) for name in had)
        short = {name for name, value in moments.items() if value.dtype == torch.bfloat16}
        assert short == {f"{name}/exp_avg_sq" for name in tables}
        assert again == written
        assert (earlier.pop("format"), memory.pop("format")) == (3, MEMORY_FORMAT)
        counts = earlier.pop("popularity"), earlier.pop("markov")
        assert (memory.pop("popularity"), memory.pop("markov")) == (b"", b"")
        # Nor is the gate's profile of windows gone on from: it says how far live was ahead of them.
        assert earlier["gate"].pop("profile")["windows"] == version
        assert memory["gate"].pop("profile")["windows"] == 0
        assert memory.pop("window").items() >= earlier.pop("window").items()
        assert memory == earlier
        expected = opponents_of_counts(*counts)
        assert encode_opponents(checkpoint.learner.opponents) == encode_opponents(expected)
    gate = checkpoint.learner.gate
    compared = {probation.parent: probation.windows for probation in gate.probations}
    assert compared == {1: 2, 2: 1, 3: 0}
    assert len(gate.held) == 4
    ranks = checkpoint.learner.opponents.markov.ranks([example(1, [], [1])], exclude_seen=False)
    assert (ranks < MISS).all()


def test_training_goes_on_from_a_version_of_an_earlier_build(
    store: FsspecWeightStore, small_settings: Settings
) -> None:
    reports = MemoryReportSink()
    loop = TrainerLoop(small_settings, MemoryWindowSource(LOG), store, reports, lambda: 5_000)
    report = loop.step(0)
    assert report is not None
    assert (report.scored_version, report.version, report.label) == (NEWEST, 5, 7)
    assert store.pointer() == Pointer(1, 5)
    manifest = store.manifest(5)
    assert [probation.parent for probation in loop.learner.gate.probations] == [2, 3, NEWEST]
    assert (manifest.parent, manifest.trained_through) == (NEWEST, {0: 38, 1: 81})
    assert manifest.events == sum(manifest.trained_through.values())
