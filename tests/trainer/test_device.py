"""The setting ``trainer.device``, as far as it goes without a GPU."""

from __future__ import annotations

import os
from typing import Any

import pytest
import torch
from torch.distributed import HashStore

from everfresh.contracts.errors import SettingsError
from everfresh.contracts.settings import Settings, load_settings
from everfresh.trainer.distributed import data_parallel
from everfresh.trainer.distributed import ray_actor as actor
from everfresh.trainer.distributed.data_parallel import Member
from everfresh.trainer.learning.device import prepare
from everfresh.trainer.run import TrainerRun
from tests.trainer.bench import Bench
from tests.trainer.logs import make_log
from tests.trainer.strategies.test_every_strategy import with_strategy
from tests.trainer.test_run import WAIT_S, Doors


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith("TORCH_NCCL")}
    monkeypatch.setattr(os, "environ", own)
    return own


def on_gpu(settings: Settings, workers: int = 1) -> Settings:
    return with_strategy(settings, "replay", device="cuda", workers=workers)


def test_training_is_on_the_cpu_unless_set(small_settings: Settings) -> None:
    assert small_settings.trainer.device == "cpu"
    assert load_settings({"trainer": {"device": "cuda"}}).trainer.device == "cuda"
    with pytest.raises(SettingsError, match=r"trainer\.device: Input should be 'cpu' or 'cuda'"):
        load_settings({"trainer": {"device": "cuda:1"}})


def test_without_a_gpu_cuda_is_refused_with_what_to_do(no_gpu: None) -> None:
    prepare("cpu")
    with pytest.raises(SettingsError, match=r"or set trainer\.device to cpu") as caught:
        prepare("cuda")
    assert torch.__version__ in str(caught.value)
    assert not torch.are_deterministic_algorithms_enabled()


def test_a_run_that_finds_no_gpu_fails_with_one_line_and_opens_nothing(
    small_settings: Settings, no_gpu: None
) -> None:
    doors = Doors(Bench(make_log(2, [3]), small_settings))
    run = TrainerRun(on_gpu(small_settings), doors.open, lambda: 5)
    run.start()
    assert run.wait(WAIT_S)
    assert run.condition().state == "failed"
    assert "finds no GPU here" in str(run.condition().error)
    assert not doors.shut.is_set()


def test_on_a_gpu_algorithms_are_those_that_repeat_themselves(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]
) -> None:
    asked: list[bool] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch, "use_deterministic_algorithms", asked.append)
    environment.pop("CUBLAS_WORKSPACE_CONFIG", None)
    prepare("cpu")
    assert asked == []
    prepare("cuda")
    assert asked == [True]
    assert environment["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"


@pytest.mark.parametrize(("device", "chosen"), [("cpu", "gloo"), ("cuda", "nccl")])
def test_members_meet_over_gloo_on_cpus_and_over_nccl_on_gpus(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], device: str, chosen: str
) -> None:
    made: list[str] = []
    monkeypatch.setattr(
        data_parallel,
        "ProcessGroupGloo",
        lambda *_: made.append("gloo"),
    )
    # A build for CPUs has no such name.
    monkeypatch.setattr(
        "torch.distributed.ProcessGroupNCCL", lambda *_: made.append("nccl"), raising=False
    )
    Member(HashStore(), 0, 1, 5.0, device)
    assert made == [chosen]
    assert environment.get("TORCH_NCCL_BLOCKING_WAIT") == (None if device == "cpu" else "1")


class FakeRay:
    """A cluster with so many GPUs; keeps what actors ask for."""

    def __init__(self, gpus: float) -> None:
        self._found = {"CPU": 4.0, "GPU": gpus} if gpus else {"CPU": 4.0}
        self.options: list[dict[str, Any]] = []

    def cluster_resources(self) -> dict[str, float]:
        return self._found

    def remote(self, cls: type) -> Any:
        ray = self

        class Remote:
            def options(self, **options: Any) -> Any:
                ray.options.append(options)
                return self

            def remote(self, *_: Any) -> None:
                pass

        return Remote()


@pytest.mark.parametrize(("device", "gpus"), [("cpu", 0.0), ("cuda", 1.0)])
def test_a_process_that_trains_on_a_gpu_asks_for_one_of_its_own(
    small_settings: Settings, monkeypatch: pytest.MonkeyPatch, device: str, gpus: float
) -> None:
    ray = FakeRay(gpus)
    monkeypatch.setattr(actor, "ray", ray)
    settings = with_strategy(small_settings, "replay", device=device)
    actor.Trainer(settings, lambda _: None)  # type: ignore[arg-type,return-value]
    assert [(one["num_cpus"], one["num_gpus"]) for one in ray.options] == [(actor.CPUS, gpus)]


@pytest.mark.parametrize(("gpus", "workers"), [(0.0, 1), (1.0, 2), (3.0, 4)])
def test_a_cluster_with_too_few_gpus_is_refused_rather_than_waited_for(
    small_settings: Settings, monkeypatch: pytest.MonkeyPatch, gpus: float, workers: int
) -> None:
    ray = FakeRay(gpus)
    monkeypatch.setattr(actor, "ray", ray)
    with pytest.raises(SettingsError, match=f"has {gpus:.0f} GPUs: one is needed for each"):
        actor.Trainer(on_gpu(small_settings, workers), lambda _: None)  # type: ignore[arg-type,return-value]
    assert ray.options == []
