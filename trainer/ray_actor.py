"""The process that trains: a Ray actor that hosts one run.

Ray restarts it wherever its process dies, and every start resumes from the manifest (law 5). Who
makes and watches it is ``trainer.ray_driver``.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping

import torch

from everfresh.adapters.observe.logs import configure_logging
from everfresh.contracts.experiments.definition import DEFAULT
from everfresh.contracts.settings import Settings
from everfresh.trainer.distributed.ray_workers import DataParallelTraining
from everfresh.trainer.learning.training import train_window
from everfresh.trainer.run import RunStatus, TrainerPorts, TrainerRun, wall_clock


class TrainerActor:
    """The process that trains: all tracks, or ``only`` one. Built again by Ray after it died."""

    def __init__(
        self,
        settings: Settings,
        open_ports: Callable[[Settings], TrainerPorts],
        only: str | None = None,
    ) -> None:
        named = "trainer-actor" if only in (None, DEFAULT) else f"trainer-actor-{only}"
        configure_logging(named, settings.home)
        torch.set_num_threads(settings.trainer.threads)
        several = settings.trainer.workers > 1
        train = DataParallelTraining(settings) if several else train_window
        self._run = TrainerRun(settings, open_ports, wall_clock, train, only)
        self._run.start()
        self._place = f"{settings.home} on {socket.gethostname()}"

    def place(self) -> str:
        """Home and machine, for another driver that finds the name taken."""
        return self._place

    def status(self) -> RunStatus:
        """How the run stands."""
        return self._run.status()

    def untrained(self, causes: Mapping[str, str]) -> None:
        """Why tracks that have processes of their own are not trained: their status says it."""
        self._run.untrained = causes

    def stop(self, timeout_s: float) -> RunStatus:
        """End at the next step boundary, if that comes within ``timeout_s``."""
        self._run.stop(timeout_s)
        return self._run.status()
