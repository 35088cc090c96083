from __future__ import annotations

from types import SimpleNamespace

import pytest
from torch.distributed import HashStore

from everfresh.contracts.errors import EverfreshError
from everfresh.contracts.settings import Settings
from everfresh.trainer.distributed import ray_workers
from everfresh.trainer.distributed.data_parallel import DataParallelMember
from everfresh.trainer.distributed.jobs import Job, KeptNetworks
from everfresh.trainer.learning.learner import fresh_learner
from tests.trainer.logs import make_log, windows_of
from tests.trainer.small_settings import with_strategy


class NoRay:
    """Calls and answers at once, in this process."""

    put = staticmethod(lambda value: value)
    get = staticmethod(lambda answers, timeout: answers)


class OtherWorker:
    """A worker that trains beside the trainer's own process, or answers another digest."""

    def __init__(self, digest: str | None) -> None:
        self._digest = digest
        self.train = SimpleNamespace(remote=self._train)

    def _train(self, job: Job) -> str:
        return self._digest or KeptNetworks().do(job, DataParallelMember(HashStore(), 0, 1, 5.0))


@pytest.mark.parametrize("wrong", [None, 64 * "0"])
def test_workers_that_end_with_different_weights_stop_the_trainer(
    small_settings: Settings, monkeypatch: pytest.MonkeyPatch, wrong: str | None
) -> None:
    monkeypatch.setattr(ray_workers, "ray", NoRay)
    settings = with_strategy(small_settings, "replay", workers=2)
    training = ray_workers.DataParallelTraining(settings)
    training._member = DataParallelMember(HashStore(), 0, 1, 5.0)
    training._workers = [OtherWorker(wrong)]
    (window,) = windows_of(make_log(2, [0], users=9))
    task = fresh_learner(settings).task(window, settings, 0)
    if wrong is None:
        assert training(task).steps > 0
    else:
        with pytest.raises(EverfreshError, match="ended with different weights"):
            training(task)
