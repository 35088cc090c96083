"""The trainer on Ray: one long-lived actor, owned by the driver that watches it.

The only file of this package that names Ray. The actor is restarted by Ray wherever its process
dies, and every start resumes from the manifest (law 5). It is not detached: when its driver goes,
however it goes, so does the actor. Its name keeps a second trainer out of the same cluster.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import ray
import torch
from ray.exceptions import RayActorError, RayError
from torch.distributed import TCPStore  # type: ignore[attr-defined]

from everfresh.adapters.machine.tcp_ports import require_reachable
from everfresh.adapters.observe.logs import configure_logging
from everfresh.contracts.errors import EverfreshError, SettingsError, Unreachable, WorkerLost
from everfresh.contracts.settings import Settings
from everfresh.contracts.window import DecodedExample, TrainingWindow
from everfresh.trainer.distributed.data_parallel import Member
from everfresh.trainer.distributed.jobs import Job, describe_job, digest, do_job
from everfresh.trainer.learning.device import prepare
from everfresh.trainer.learning.strategies.base import Strategy
from everfresh.trainer.learning.training import Network, Outcome, train_window
from everfresh.trainer.run import Condition, Ports, TrainerRun, wall_clock

NAMESPACE = "everfresh"
NAME = "trainer"

CPUS = 0.5
"""What the scheduler sets aside; how many threads train is ``trainer.threads`` alone. A process
that trains on a GPU is given a whole one beside it."""

STOP_S = 2.0
"""How long a stop may wait for a step boundary before the actor is killed, which is harmless."""

_MEET_S = 60.0
"""How long the workers wait for each other, when they meet and at every step."""

_NAME_WAIT_S = 10.0
_ANSWER_S = 0.5
_LOG = logging.getLogger("everfresh.trainer")


class TrainerActor:
    """The process that trains. Built again by Ray after it died."""

    def __init__(self, settings: Settings, open_ports: Callable[[Settings], Ports]) -> None:
        configure_logging("trainer-actor", settings.home)
        torch.set_num_threads(settings.trainer.threads)
        several = settings.trainer.workers > 1
        train = Crew(settings) if several else train_window
        self._run = TrainerRun(settings, open_ports, wall_clock, train)
        self._run.start()

    def condition(self) -> Condition:
        """How the run stands."""
        return self._run.condition()

    def stop(self, timeout_s: float) -> Condition:
        """End at the next step boundary, if that comes within ``timeout_s``."""
        self._run.stop(timeout_s)
        return self._run.condition()


class TrainingWorker:
    """One more process that trains; the first is the trainer's own. Lost, it is made anew."""

    def __init__(self, settings: Settings) -> None:
        configure_logging("trainer-worker", settings.home)
        torch.set_num_threads(settings.trainer.threads)
        self._settings = settings
        self._member: Member | None = None

    def join(self, host: str, port: int, rank: int) -> None:
        """Meet the others; returns once all are there."""
        tuning = self._settings.trainer
        prepare(tuning.device)
        _keep_to(host)
        store = TCPStore(host, port, is_master=False, timeout=timedelta(seconds=_MEET_S))
        self._member = Member(store, rank, tuning.workers, _MEET_S, tuning.device)

    def train(self, job: Job) -> str:
        """Train one window in step with the others; see ``trainer.distributed.jobs``."""
        assert self._member is not None, "a worker joins before it trains"
        return do_job(job, self._settings, self._member)


class Crew:
    """Trains windows with ``trainer.workers`` processes. Made and used in the trainer's process.

    Workers are made with the first window and stay. Where one is lost all are let go, the window
    is given up with ``WorkerLost``, and the next call makes new ones.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._workers: list[Any] = []
        self._member: Member | None = None

    def __call__(
        self,
        network: Network,
        strategy: Strategy,
        window: TrainingWindow,
        settings: Settings,
        number: int,
        sighted: Sequence[DecodedExample] | None = None,
    ) -> Outcome:
        """See ``trainer.distributed.jobs.Train``."""
        try:
            member = self._member or self._form()
            job = ray.put(describe_job(network, strategy, window, number, sighted))
            answers = [worker.train.remote(job) for worker in self._workers]
            outcome = train_window(network, strategy, window, settings, number, sighted, member)
            digests = {digest(network), *ray.get(answers, timeout=_MEET_S)}
        except (RayError, WorkerLost) as error:
            self._disband()
            raise WorkerLost(f"a training worker was lost: {str(error).splitlines()[0]}") from None
        if len(digests) > 1:
            raise EverfreshError(
                "the training workers ended with different weights; run them on machines of one "
                "kind with one release, or set trainer.workers to 1"
            )
        return outcome

    def _form(self) -> Member:
        host = _own_address()
        _keep_to(host)
        door = socket.create_server((host, 0))
        port = door.getsockname()[1]
        store = TCPStore(
            host,
            port,
            is_master=True,
            wait_for_workers=False,
            timeout=timedelta(seconds=_MEET_S),
            master_listen_fd=door.detach(),
        )
        worker = ray.remote(TrainingWorker).options(**_resources(self._settings))
        size, device = self._settings.trainer.workers, self._settings.trainer.device
        self._workers = [worker.remote(self._settings) for _ in range(size - 1)]
        coming = [one.join.remote(host, port, at) for at, one in enumerate(self._workers, 1)]
        self._member = Member(store, 0, size, _MEET_S, device)
        ray.get(coming, timeout=_MEET_S)
        return self._member

    def _disband(self) -> None:
        for worker in self._workers:
            ray.kill(worker, no_restart=True)
        self._workers, self._member = [], None


def _own_address() -> str:
    """Where Ray reaches this node: loopback for a local cluster."""
    here = ray.get_runtime_context().get_node_id()
    return str(next(one["NodeManagerAddress"] for one in ray.nodes() if one["NodeID"] == here))  # type: ignore[no-untyped-call]


def _keep_to(host: str) -> None:
    """On one machine the workers talk over loopback alone."""
    if host.startswith("127."):
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
        os.environ.setdefault("NCCL_SOCKET_IFNAME", "lo")


def connect(settings: Settings) -> None:
    """Join the cluster of the settings, or of ``RAY_ADDRESS``. ``Unreachable`` where none answers.

    Ray's token comes from the environment (``RAY_AUTH_TOKEN``, ``RAY_AUTH_TOKEN_PATH``).
    """
    address = settings.ray.address or os.environ.get("RAY_ADDRESS", "")
    if not address:
        raise SettingsError(
            "ray.address is empty and so is RAY_ADDRESS: name the cluster to train on, or let "
            "`everfresh up` start a local one"
        )
    # Ray itself would try for half a minute, and print.
    require_reachable(address, "ray.address", "Ray cluster")
    try:
        ray.init(
            address=address,
            namespace=NAMESPACE,
            log_to_driver=False,
            logging_level=logging.ERROR,
            configure_logging=False,
        )
    except (RayError, ConnectionError, RuntimeError, ValueError) as error:
        raise Unreachable(
            f"no Ray cluster to join at {address} ({error}); check ray.address, that the cluster "
            "runs, and that its token is in RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH"
        ) from None


class Trainer:
    """The driver's hold on its actor. :meth:`check` about once a second, :meth:`stop` once."""

    def __init__(self, settings: Settings, open_ports: Callable[[Settings], Ports]) -> None:
        self.restarts = 0
        self._lost = False
        self._question: Any = None
        _require_gpus(settings)
        self._actor = _create(settings, open_ports)

    def check(self) -> Condition | None:
        """How the actor stands; ``None`` while Ray starts it, the first time or again.

        ``EverfreshError`` where it has failed for good; the message is the actor's own.
        """
        condition = self._ask()
        if condition is not None and condition.error is not None:
            raise EverfreshError(condition.error)
        return condition

    def stop(self) -> Condition | None:
        """End the actor, by asking and then by force; its last word where it gave one."""
        last: Condition | None = None
        with contextlib.suppress(RayError):
            last = ray.get(self._actor.stop.remote(STOP_S), timeout=STOP_S + 0.5)
        with contextlib.suppress(RayError):
            ray.kill(self._actor, no_restart=True)
        return last

    def _ask(self) -> Condition | None:
        # One question at a time, asked again only once answered: a busy actor is not flooded.
        question = self._question or self._actor.condition.remote()
        answered, _ = ray.wait([question], timeout=_ANSWER_S)
        self._question = None if answered else question
        if not answered:
            return None
        try:
            condition: Condition = ray.get(question)
        except RayActorError as error:
            if not self._lost:
                self._lost, self.restarts = True, self.restarts + 1
                _LOG.warning("the trainer's process was lost (%s); Ray starts it again", error)
            return None
        self._lost = False
        return condition


def disconnect() -> None:
    """Leave the cluster."""
    ray.shutdown()


def _resources(settings: Settings) -> dict[str, float]:
    """What each process that trains asks of the scheduler."""
    return {"num_cpus": CPUS, "num_gpus": float(settings.trainer.device == "cuda")}


def _require_gpus(settings: Settings) -> None:
    """``SettingsError`` where the cluster has too few: Ray would wait for them without a word."""
    tuning = settings.trainer
    found = int(ray.cluster_resources().get("GPU", 0))  # type: ignore[no-untyped-call]
    if tuning.device == "cuda" and found < tuning.workers:
        raise SettingsError(
            f"trainer.device is cuda with trainer.workers={tuning.workers}, and this Ray cluster "
            f"has {found} GPUs: one is needed for each; add nodes with GPUs, lower "
            "trainer.workers, or set trainer.device to cpu"
        )


def _create(settings: Settings, open_ports: Callable[[Settings], Ports]) -> Any:
    """The named actor; waits a while for the name where an earlier driver has only just gone."""
    here = settings.model_copy(update={"home": settings.home.resolve()})
    actor = ray.remote(TrainerActor).options(
        name=NAME, max_restarts=-1, max_task_retries=0, **_resources(settings)
    )
    deadline = time.monotonic() + _NAME_WAIT_S
    while True:
        try:
            return actor.remote(here, open_ports)
        except ValueError:
            if time.monotonic() >= deadline:
                raise Unreachable(
                    f"this Ray cluster has a trainer already (actor {NAME!r} in namespace "
                    f"{NAMESPACE!r}); stop it first, or use another cluster"
                ) from None
            time.sleep(0.5)
