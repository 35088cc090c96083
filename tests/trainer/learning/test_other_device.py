"""Training on a device that is not the CPU: with a pretended one, see ``tests.elsewhere``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.distributed import HashStore

from everfresh.contracts.settings import Settings
from everfresh.trainer.distributed import data_parallel
from everfresh.trainer.distributed.data_parallel import DataParallelMember
from everfresh.trainer.distributed.jobs import KeptNetworks, SentNetworks, weights_digest
from everfresh.trainer.learning.learner import fresh_learner
from everfresh.trainer.learning.training import train_window
from tests.elsewhere import NAME, Mixed, elsewhere
from tests.trainer.bench import Bench
from tests.trainer.logs import make_log, windows_of
from tests.trainer.small_settings import with_strategy

LABELS = [3, 4, 6, 7]
WAYS = {
    "finetune": {"parent_share": 0.25},
    "frozen": {},
    "replay": {"exclude_seen": True},
    "herding": {"strategy": "replay", "replay_choice": "herding"},
    "loss": {"strategy": "replay", "replay_choice": "loss"},
    "distill": {},
    "ewc": {"ewc_examples": 4},
    "retrain": {},
}


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with elsewhere(monkeypatch) as name:
        yield name


def way(settings: Settings, name: str, device: str) -> Settings:
    """Items expire after a window without them, so that rows are freed and given anew."""
    changes: dict[str, Any] = {"strategy": name, "expire_after_s": settings.windows.seconds}
    changes |= {"device": device, **WAYS[name]}
    return with_strategy(settings, changes.pop("strategy"), **changes)


def test_what_was_left_on_the_cpu_is_refused(device: str) -> None:
    there, here = torch.ones(3, device=device), torch.ones(3)
    assert (there * 2 + torch.tensor(1.0)).tolist() == [3.0, 3.0, 3.0]
    for mixed in (
        lambda: there + here,
        lambda: there.index_select(0, torch.tensor([1])),
        lambda: torch.where(here > 0, there, 0.0),
        lambda: torch.cat([there, here]),
        lambda: there.normal_(generator=torch.Generator()),
    ):
        with pytest.raises(Mixed):
            mixed()
    with pytest.raises(RuntimeError, match="numpy"):
        there.numpy()


@pytest.mark.parametrize("name", WAYS)
def test_versions_trained_elsewhere_equal_those_of_the_cpu(
    small_settings: Settings, device: str, name: str
) -> None:
    versions = []
    for place in ("cpu", device):
        bench = Bench(make_log(2, LABELS, items=30), way(small_settings, name, place))
        loop = bench.run()
        assert loop.learner.network.recommender.network.device.type == place
        assert all(model.network.device.type == place for model in loop._lineage.parents.values())
        versions.append(bench.versions())
    assert len(versions[0]) == len(LABELS)
    assert versions[0] == versions[1]
    freed = loop.learner.network.recommender.vocabulary.free_rows()
    assert len(freed) or name == "frozen"


@pytest.mark.parametrize("first", ["cpu", NAME])
def test_a_version_goes_on_on_the_other_device(
    small_settings: Settings, device: str, first: str
) -> None:
    log = make_log(2, LABELS, items=30)
    whole = Bench(log, way(small_settings, "ewc", "cpu"))
    whole.run()
    parts = Bench(log, way(small_settings, "ewc", first))
    loop = parts.start()
    for _ in range(2):
        assert loop.step(0)
    parts.settings = way(small_settings, "ewc", device if first == "cpu" else "cpu")
    parts.run()
    assert parts.versions() == whole.versions()


def test_shorter_rows_for_replicas_are_the_same_from_both(
    small_settings: Settings, device: str
) -> None:
    weights = small_settings.weights.model_copy(update={"rows": "int8"})
    versions = []
    for place in ("cpu", device):
        settings = way(small_settings, "replay", place).model_copy(update={"weights": weights})
        bench = Bench(make_log(2, LABELS), settings)
        bench.run()
        versions.append(bench.versions())
    assert versions[0] == versions[1]


class OneOfOne:
    """A group with one member, whose sum is its own part; it must be on the device."""

    def __init__(self, *_: object) -> None:
        pass

    def allreduce(self, parts: list[Tensor]) -> OneOfOne:
        assert {part.device.type for part in parts} == {NAME}
        return self

    def allgather(self, found: list[list[Tensor]], own: list[Tensor]) -> OneOfOne:
        assert {part.device.type for part in own} == {NAME}
        found[0][0] = own[0]
        return self

    def wait(self) -> None:
        pass


def test_a_worker_trains_its_job_on_its_device(
    small_settings: Settings, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data_parallel, "ProcessGroupGloo", OneOfOne)
    settings = way(small_settings, "ewc", device)
    learner, windows = fresh_learner(settings), windows_of(make_log(2, LABELS))
    train_window(learner.task(windows[0], settings, 0))
    learner.strategy.remember(learner.network, windows[0], 0)
    task = learner.task(windows[1], settings, 1)
    job = SentNetworks().describe(task)
    member = DataParallelMember(HashStore(), 0, 1, 5.0)
    touched = train_window(task, member).touched
    assert KeptNetworks().do(job, member) == weights_digest(learner.network, touched)
