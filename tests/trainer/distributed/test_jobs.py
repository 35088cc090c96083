"""A worker that keeps its networks trains what the trainer does, told of the window alone."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch
from torch.distributed import HashStore

from everfresh.contracts.errors import WorkerLost
from everfresh.contracts.manifest import rolled_back
from everfresh.contracts.settings import Settings, load_settings
from everfresh.trainer.distributed.data_parallel import DataParallelMember
from everfresh.trainer.distributed.jobs import (
    Job,
    KeptNetworks,
    SentNetworks,
    WholeNetwork,
    weights_digest,
)
from everfresh.trainer.learning.learner import Learner, fresh_learner, remember
from everfresh.trainer.learning.network import Network, TrainingOutcome
from everfresh.trainer.learning.training import train_window
from everfresh.trainer.learning.window_task import WindowTask
from tests.trainer.bench import Bench
from tests.trainer.logs import make_log, windows_of
from tests.trainer.small_settings import SMALL, with_strategy
from tests.trainer.test_contents import Shop
from tests.trainer.test_killed import CASES


def alone() -> DataParallelMember:
    return DataParallelMember(HashStore(), 0, 1, 5.0)


class Together:
    """Trains as the trainer does with a worker beside it, and both must come to the same."""

    def __init__(self) -> None:
        self.sent, self.worker = SentNetworks(), KeptNetworks()
        self.jobs: list[Job] = []

    def __call__(self, task: WindowTask) -> TrainingOutcome:
        job: Job = pickle.loads(pickle.dumps(self.sent.describe(task)))
        answer = self.worker.do(job, alone())
        outcome = train_window(task, alone())
        assert weights_digest(task.network, None) == weights_digest(self.kept(job), None)
        assert weights_digest(task.network, outcome.touched) == answer
        self.sent.trained(job, answer)
        self.jobs.append(job)
        return outcome

    def kept(self, job: Job) -> Network:
        return self.worker._kept[job.line][0]

    @property
    def whole(self) -> list[bool]:
        return [isinstance(job.parent, WholeNetwork) for job in self.jobs]


@pytest.mark.parametrize("case", CASES)
def test_a_worker_that_keeps_its_network_trains_what_the_trainer_does(
    case: str, tmp_path: Path
) -> None:
    bench, together = CASES[case][0](tmp_path), Together()
    loop = bench.start(train=together)
    for _ in range(40):
        loop.step(0)
    assert len(together.jobs) >= len(bench.versions()) > 3
    assert together.whole == [True] + [False] * (len(together.jobs) - 1)


def test_what_contents_say_comes_with_every_window(tmp_path: Path) -> None:
    shop, together = Shop(tmp_path), Together()
    for kind in range(3):
        shop.put(0, *range(1 + kind, 200, 3), attributes={"kind": f"k{kind}"})
    settings = load_settings({"home": str(tmp_path), **SMALL, "windows": {"seconds": 2.0}})
    bench = Bench(make_log(2, [3, 4, 6, 7], users=30, items=60), settings)
    loop = bench.start(train=together)
    loop._contents = shop.contents
    for _ in range(10):
        loop.step(0)
    assert together.whole == [True, False, False, False]
    assert [bool(job.content) for job in together.jobs] == [False, True, True, True]


def test_after_a_candidate_that_is_refused_the_network_comes_whole(tmp_path: Path) -> None:
    bench, together = CASES["plain"][0](tmp_path), Together()

    def spoil(step: str) -> None:
        if step == "check" and len(together.jobs) == 3:
            loop.learner.network.recommender.network.items.data.fill_(torch.nan)

    loop = bench.start(spoil, together)
    for _ in range(10):
        loop.step(0)
    assert len(bench.store.rejected()) == 1
    assert together.whole == [True, False, False, True, False]
    assert [*together.worker._kept] == [1]


def test_after_a_rollback_the_network_comes_whole_and_the_other_is_let_go(tmp_path: Path) -> None:
    bench, together = CASES["plain"][0](tmp_path), Together()
    loop = bench.start(train=together)
    while len(bench.versions()) < 3:
        loop.step(0)
    pointer = bench.store.pointer()
    assert pointer is not None
    bench.store.advance(rolled_back(pointer, 1))
    for _ in range(10):
        loop.step(0)
    assert together.whole == [True, False, False, True, False]
    assert [sorted(job.alive) for job in together.jobs] == [[0], [0], [0], [1], [1]]
    assert [*together.worker._kept] == [1]


def test_tracks_that_are_trained_in_turn_have_a_network_each(small_settings: Settings) -> None:
    together, settings = Together(), [small_settings, with_strategy(small_settings, "finetune")]
    learners: list[Learner] = [fresh_learner(each) for each in settings]
    for number, window in enumerate(windows_of(make_log(2, [0, 1, 2, 3], users=9))):
        for learner, own in zip(learners, settings, strict=True):
            together(learner.task(window, own, number))
            remember(learner, window, number)
            learner.begin_version()
    assert [job.line for job in together.jobs] == [0, 1] * 4
    assert together.whole == [True, True] + 6 * [False]


def test_a_job_is_as_large_in_a_large_catalogue_as_in_a_small_one(
    small_settings: Settings,
) -> None:
    def bytes_of_jobs(items: int) -> list[int]:
        together, learner = Together(), fresh_learner(small_settings)
        recommender = learner.network.recommender
        for label in (0, 1):
            recommender.vocabulary.admit(list(range(1_000, 1_000 + items)), label)
        recommender.grow()
        for number, window in enumerate(windows_of(make_log(2, [0, 1], users=9))):
            together(learner.task(window, small_settings, number))
            learner.begin_version()
        return [len(pickle.dumps(job)) for job in together.jobs]

    (few_whole, few), (many_whole, many) = bytes_of_jobs(10), bytes_of_jobs(5_000)
    assert many == few
    assert many_whole > few_whole + 5_000 * 4 * small_settings.model.dim


def test_a_worker_that_has_another_network_does_not_train_on_it(small_settings: Settings) -> None:
    sent, learner = SentNetworks(), fresh_learner(small_settings)
    first, second = windows_of(make_log(2, [0, 1], users=9))
    job = sent.describe(learner.task(first, small_settings, 0))
    worker = KeptNetworks()
    worker.do(job, alone())
    sent.trained(job, 64 * "0")
    with pytest.raises(WorkerLost, match="the window before"):
        worker.do(sent.describe(learner.task(second, small_settings, 1)), alone())
    sent.trained(job, 64 * "1")
    with pytest.raises(WorkerLost, match="the window before"):
        KeptNetworks().do(sent.describe(learner.task(second, small_settings, 1)), alone())


def test_a_window_that_was_not_finished_is_trained_on_the_whole_network(
    small_settings: Settings,
) -> None:
    sent, learner = SentNetworks(), fresh_learner(small_settings)
    (window,) = windows_of(make_log(2, [0], users=9))
    for _ in range(2):
        job = sent.describe(learner.task(window, small_settings, 0))
        assert isinstance(job.parent, WholeNetwork)


def test_a_digest_sees_every_row_that_was_touched(small_settings: Settings) -> None:
    (window,) = windows_of(make_log(2, [0], users=9))
    learner = fresh_learner(small_settings)
    network = learner.network
    touched = train_window(learner.task(window, small_settings, 0)).touched
    assert touched is not None
    before = weights_digest(network, touched), weights_digest(network, touched[:-1])
    with torch.no_grad():
        network.recommender.network.items[int(touched[-1])] += 1.0
    after = weights_digest(network, touched), weights_digest(network, touched[:-1])
    assert before[0] != after[0]
    assert before[1] == after[1]
