from __future__ import annotations

import os
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import torch
from torch.distributed import HashStore

from everfresh.contracts.errors import SettingsError, WorkerLost
from everfresh.contracts.settings import Settings, load_settings
from everfresh.contracts.window import TrainingWindow
from everfresh.trainer.distributed import data_parallel
from everfresh.trainer.distributed.data_parallel import DataParallelMember
from everfresh.trainer.learning.learner import fresh_learner
from everfresh.trainer.learning.network import Network, TrainingOutcome
from everfresh.trainer.learning.stepper import SINGLE_PROCESS, Stepper
from everfresh.trainer.learning.training import train_window
from tests.trainer.logs import make_log, windows_of
from tests.trainer.small_settings import SMALL


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith("TORCH_NCCL")}
    monkeypatch.setattr(os, "environ", own)
    return own


def tuned(settings: Settings, strategy: str = "replay", **model: Any) -> Settings:
    changed = {**SMALL["model"], "dropout": 0.0, "negatives": 1000, **model}
    trainer = {**SMALL["trainer"], "strategy": strategy, "workers": 2, "ewc_weight": 30.0}
    return load_settings({"home": str(settings.home), "model": changed, "trainer": trainer})


def windows(number: int) -> list[TrainingWindow]:
    return windows_of(make_log(2, list(range(number)), users=9))


def train(settings: Settings, stepper: Stepper) -> tuple[Network, list[TrainingOutcome]]:
    learner, outcomes = fresh_learner(settings), []
    for number, window in enumerate(windows(3)):
        outcomes.append(train_window(learner.task(window, settings, number), stepper))
        learner.strategy.remember(learner.network, window, number)
    return learner.network, outcomes


def together(size: int, work: Callable[[Stepper], Any], timeout_s: float = 240.0) -> list[Any]:
    """``work`` in ``size`` members at once; each is a thread here, which gloo does not mind."""
    store, results = HashStore(), list[Any]([None] * size)

    def run_member(rank: int) -> None:
        try:
            results[rank] = work(DataParallelMember(store, rank, size, timeout_s))
        except WorkerLost as error:
            results[rank] = error

    threads = [threading.Thread(target=run_member, args=(rank,)) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


@pytest.mark.parametrize(
    ("size", "strategy"), [(2, "replay"), (3, "replay"), (2, "ewc"), (2, "retrain")]
)
def test_several_train_what_one_trains_within_the_order_of_additions(
    small_settings: Settings, size: int, strategy: str
) -> None:
    settings = tuned(small_settings, strategy)
    single, expected = train(settings, SINGLE_PROCESS)
    for network, outcomes in together(size, lambda stepper: train(settings, stepper)):
        for mine, theirs in zip(
            network.recommender.parameters(), single.recommender.parameters(), strict=True
        ):
            torch.testing.assert_close(mine, theirs, rtol=2e-3, atol=2e-4)
        assert [outcome.steps for outcome in outcomes] == [outcome.steps for outcome in expected]
        losses = [outcome.loss for outcome in expected]
        assert [outcome.loss for outcome in outcomes] == pytest.approx(losses, rel=1e-3)


@pytest.mark.parametrize("strategy", ["replay", "ewc", "retrain"])
def test_all_members_end_with_equal_bytes(small_settings: Settings, strategy: str) -> None:
    settings = tuned(small_settings, strategy)
    first, second = together(2, lambda stepper: train(settings, stepper))
    assert first[0].recommender.save() == second[0].recommender.save()


def test_one_member_is_as_one_alone_also_with_dropout_and_sampled_negatives(
    small_settings: Settings,
) -> None:
    settings = tuned(small_settings, dropout=0.1, negatives=8)
    single, _ = train(settings, SINGLE_PROCESS)
    ((network, _),) = together(1, lambda stepper: train(settings, stepper))
    for mine, theirs in zip(
        network.recommender.parameters(), single.recommender.parameters(), strict=True
    ):
        torch.testing.assert_close(mine, theirs, rtol=2e-3, atol=2e-4)


def test_a_member_that_goes_is_noticed_by_the_others(small_settings: Settings) -> None:
    settings = tuned(small_settings)

    def work(stepper: Stepper) -> Any:
        if isinstance(stepper, DataParallelMember) and stepper._rank == 1:
            raise WorkerLost("this one goes")
        return train(settings, stepper)

    errors = together(2, work, timeout_s=3.0)
    assert all(isinstance(error, WorkerLost) for error in errors)
    assert "a training worker was lost" in str(errors[0])


def test_a_member_that_never_comes_is_noticed() -> None:
    store = HashStore()
    store.set_timeout(timedelta(seconds=1))
    with pytest.raises(WorkerLost):
        DataParallelMember(store, 0, 2, 1.0)


def test_a_loss_that_is_no_mean_over_targets_is_refused_for_several(
    small_settings: Settings,
) -> None:
    with pytest.raises(SettingsError, match=r"set trainer\.workers to 1, or choose another"):
        load_settings({"trainer": {"workers": 2, "strategy": "distill"}})


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
    DataParallelMember(HashStore(), 0, 1, 5.0, device)
    assert made == [chosen]
    assert environment.get("TORCH_NCCL_BLOCKING_WAIT") == (None if device == "cpu" else "1")
