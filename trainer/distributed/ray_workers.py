"""Training workers on Ray: how they start, meet, train a window in step and are replaced."""

from __future__ import annotations

import os
import socket
from datetime import timedelta
from typing import Any

import ray
import torch
from ray.exceptions import RayError
from torch.distributed import TCPStore  # type: ignore[attr-defined]

from everfresh.adapters.observe.logs import configure_logging
from everfresh.contracts.errors import EverfreshError, WorkerLost
from everfresh.contracts.settings import Settings
from everfresh.trainer.distributed.data_parallel import DataParallelMember
from everfresh.trainer.distributed.jobs import Job, KeptNetworks, SentNetworks, weights_digest
from everfresh.trainer.learning.device import prepare_device
from everfresh.trainer.learning.network import TrainingOutcome
from everfresh.trainer.learning.training import train_window
from everfresh.trainer.learning.window_task import WindowTask

_MEET_S = 60.0
"""How long the workers wait for each other, when they meet and at every step."""


class TrainingWorker:
    """One more process that trains; the first is the trainer's own. Lost, it is made anew."""

    def __init__(self, settings: Settings) -> None:
        configure_logging("trainer-worker", settings.home)
        torch.set_num_threads(settings.trainer.threads)
        self._settings = settings
        self._networks = KeptNetworks()
        self._member: DataParallelMember | None = None

    def join(self, host: str, port: int, rank: int) -> None:
        """Meet the others; returns once all are there."""
        tuning = self._settings.trainer
        prepare_device(tuning.device)
        _keep_to(host)
        store = TCPStore(host, port, is_master=False, timeout=timedelta(seconds=_MEET_S))
        self._member = DataParallelMember(store, rank, tuning.workers, _MEET_S, tuning.device)

    def train(self, job: Job) -> str:
        """Train one window in step with the others; see ``trainer.distributed.jobs``."""
        assert self._member is not None, "a worker joins before it trains"
        return self._networks.do(job, self._member)


class DataParallelTraining:
    """Trains windows with ``trainer.workers`` processes. Made and used in the trainer's process.

    Workers are made with the first window and stay. Where one is lost all are let go, the window
    is given up with ``WorkerLost``, and the next call makes new ones.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._sent = SentNetworks()
        self._workers: list[Any] = []
        self._member: DataParallelMember | None = None

    def __call__(self, task: WindowTask) -> TrainingOutcome:
        """See ``trainer.learning.training.TrainWindow``."""
        try:
            member = self._member or self._start_workers()
            job = self._sent.describe(task)
            told = ray.put(job)
            answers = [worker.train.remote(told) for worker in self._workers]
            outcome = train_window(task, member)
            own = weights_digest(task.network, outcome.touched)
            digests = {own, *ray.get(answers, timeout=_MEET_S)}
        except (RayError, WorkerLost) as error:
            self._end_workers()
            raise WorkerLost(f"a training worker was lost: {str(error).splitlines()[0]}") from None
        if len(digests) > 1:
            raise EverfreshError(
                "the training workers ended with different weights; run them on machines of one "
                "kind with one release, or set trainer.workers to 1"
            )
        self._sent.trained(job, own)
        return outcome

    def _start_workers(self) -> DataParallelMember:
        host = _own_address()
        _keep_to(host)
        listener = socket.create_server((host, 0))
        port = listener.getsockname()[1]
        store = TCPStore(
            host,
            port,
            is_master=True,
            wait_for_workers=False,
            timeout=timedelta(seconds=_MEET_S),
            master_listen_fd=listener.detach(),
        )
        actor = ray.remote(TrainingWorker).options(**process_resources(self._settings))
        size, device = self._settings.trainer.workers, self._settings.trainer.device
        self._workers = [actor.remote(self._settings) for _ in range(size - 1)]
        self._sent = SentNetworks()
        joined = [
            worker.join.remote(host, port, rank) for rank, worker in enumerate(self._workers, 1)
        ]
        self._member = DataParallelMember(store, 0, size, _MEET_S, device)
        ray.get(joined, timeout=_MEET_S)
        return self._member

    def _end_workers(self) -> None:
        for worker in self._workers:
            ray.kill(worker, no_restart=True)
        self._workers, self._member = [], None


def process_resources(settings: Settings) -> dict[str, Any]:
    """What each process that trains asks of the scheduler: CPUs by the setting (how many threads
    train is ``trainer.threads`` alone), a whole GPU where it trains on one, and a node with the
    labels that are set."""
    tuning = settings.trainer
    asked: dict[str, Any] = {
        "num_cpus": tuning.cpus,
        "num_gpus": float(tuning.device == "cuda"),
    }
    return {**asked, "label_selector": tuning.label_selector} if tuning.node_labels else asked


def _own_address() -> str:
    """Where Ray reaches this node: loopback for a local cluster."""
    here = ray.get_runtime_context().get_node_id()
    return str(next(node["NodeManagerAddress"] for node in ray.nodes() if node["NodeID"] == here))  # type: ignore[no-untyped-call]


def _keep_to(host: str) -> None:
    """On one machine the workers talk over loopback alone."""
    if host.startswith("127."):
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
        os.environ.setdefault("NCCL_SOCKET_IFNAME", "lo")
