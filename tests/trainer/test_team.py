from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.distributed import HashStore

from everfresh.contracts.errors import EverfreshError, SettingsError, WorkerLost
from everfresh.contracts.settings import Settings, load_settings
from everfresh.contracts.window import TrainingWindow
from everfresh.trainer.distributed import ray_actor as actor
from everfresh.trainer.distributed.data_parallel import ALONE, Member, Team
from everfresh.trainer.distributed.jobs import Job, do_job
from everfresh.trainer.learning.training import Network, Outcome, fresh_learner, train_window
from everfresh.trainer.windows.assemble import Assembler, Progress
from tests.trainer.bench import SMALL
from tests.trainer.logs import make_log


def tuned(settings: Settings, strategy: str = "replay", **model: Any) -> Settings:
    changed = {**SMALL["model"], "dropout": 0.0, "negatives": 1000, **model}
    trainer = {**SMALL["trainer"], "strategy": strategy, "workers": 2, "ewc_weight": 30.0}
    return load_settings({"home": str(settings.home), "model": changed, "trainer": trainer})


def windows(number: int) -> list[TrainingWindow]:
    log = make_log(2, list(range(number)), users=9)
    assembler = Assembler(log, Progress())
    for partition, records in log.items():
        for offset, record in enumerate(records):
            assembler.add(partition, offset, record)
    return [window for _ in range(number) if (window := assembler.take())]


def train(settings: Settings, team: Team) -> tuple[Network, list[Outcome]]:
    learner, outcomes = fresh_learner(settings), []
    for number, window in enumerate(windows(3)):
        network, strategy = learner.network, learner.strategy
        outcomes.append(train_window(network, strategy, window, settings, number, None, team))
        learner.strategy.remember(learner.network, window, number)
    return learner.network, outcomes


def together(size: int, work: Callable[[Team], Any], timeout_s: float = 30.0) -> list[Any]:
    """``work`` in ``size`` members at once; each is a thread here, which gloo does not mind."""
    store, found = HashStore(), [None] * size

    def one(rank: int) -> None:
        try:
            found[rank] = work(Member(store, rank, size, timeout_s))
        except WorkerLost as error:
            found[rank] = error

    threads = [threading.Thread(target=one, args=(rank,)) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


@pytest.mark.parametrize(
    ("size", "strategy"), [(2, "replay"), (3, "replay"), (2, "ewc"), (2, "retrain")]
)
def test_several_train_what_one_trains_within_the_order_of_additions(
    small_settings: Settings, size: int, strategy: str
) -> None:
    settings = tuned(small_settings, strategy)
    alone, expected = train(settings, ALONE)
    for network, outcomes in together(size, lambda team: train(settings, team)):
        for mine, theirs in zip(
            network.recommender.parameters(), alone.recommender.parameters(), strict=True
        ):
            torch.testing.assert_close(mine, theirs, rtol=2e-3, atol=2e-4)
        assert [one.steps for one in outcomes] == [one.steps for one in expected]
        assert [one.loss for one in outcomes] == pytest.approx([o.loss for o in expected], rel=1e-3)


@pytest.mark.parametrize("strategy", ["replay", "ewc", "retrain"])
def test_all_members_end_with_equal_bytes(small_settings: Settings, strategy: str) -> None:
    settings = tuned(small_settings, strategy)
    first, second = together(2, lambda team: train(settings, team))
    assert first[0].recommender.save() == second[0].recommender.save()


def test_one_member_is_as_one_alone_also_with_dropout_and_sampled_negatives(
    small_settings: Settings,
) -> None:
    settings = tuned(small_settings, dropout=0.1, negatives=8)
    alone, _ = train(settings, ALONE)
    ((network, _),) = together(1, lambda team: train(settings, team))
    for mine, theirs in zip(
        network.recommender.parameters(), alone.recommender.parameters(), strict=True
    ):
        torch.testing.assert_close(mine, theirs, rtol=2e-3, atol=2e-4)


def test_a_member_that_goes_is_noticed_by_the_others(small_settings: Settings) -> None:
    settings = tuned(small_settings)

    def work(team: Team) -> Any:
        if isinstance(team, Member) and team._rank == 1:
            raise WorkerLost("this one goes")
        return train(settings, team)

    found = together(2, work, timeout_s=3.0)
    assert all(isinstance(one, WorkerLost) for one in found)
    assert "a training worker was lost" in str(found[0])


def test_a_member_that_never_comes_is_noticed() -> None:
    store = HashStore()
    store.set_timeout(timedelta(seconds=1))
    with pytest.raises(WorkerLost):
        Member(store, 0, 2, 1.0)


class NoRay:
    """Calls and answers at once, in this process."""

    put = staticmethod(lambda value: value)
    get = staticmethod(lambda answers, timeout: answers)


class Other:
    """A worker that trains beside the trainer's own process, or answers another digest."""

    def __init__(self, settings: Settings, digest: str | None) -> None:
        self._settings, self._digest = settings, digest
        self.train = SimpleNamespace(remote=self._train)

    def _train(self, job: Job) -> str:
        return self._digest or do_job(job, self._settings, Member(HashStore(), 0, 1, 5.0))


@pytest.mark.parametrize("wrong", [None, 64 * "0"])
def test_workers_that_end_with_different_weights_stop_the_trainer(
    small_settings: Settings, monkeypatch: pytest.MonkeyPatch, wrong: str | None
) -> None:
    monkeypatch.setattr(actor, "ray", NoRay)
    settings = tuned(small_settings)
    learner, crew = fresh_learner(settings), actor.Crew(settings)
    crew._member, crew._workers = Member(HashStore(), 0, 1, 5.0), [Other(settings, wrong)]
    work = (learner.network, learner.strategy, windows(1)[0], settings, 0)
    if wrong is None:
        assert crew(*work).steps > 0
    else:
        with pytest.raises(EverfreshError, match="ended with different weights"):
            crew(*work)


def test_a_loss_that_is_no_mean_over_targets_is_refused_for_several(
    small_settings: Settings,
) -> None:
    with pytest.raises(SettingsError, match="set workers to 1, or choose replay"):
        load_settings({"trainer": {"workers": 2, "strategy": "distill"}})
