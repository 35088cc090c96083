"""The driver's side of the trainer on Ray: join the cluster, make the actor, watch it, end it.
With ``trainer.beside`` there is one more for each live track.

The actor is not detached: when its driver goes, however it goes, so does the actor. Its name keeps
a second trainer out of the same cluster.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Mapping
from functools import partial
from typing import Any, Protocol

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from everfresh.adapters.machine.tcp_ports import ListenerWatch, require_reachable
from everfresh.adapters.weights.tracks import FsspecTracks
from everfresh.contracts.errors import EverfreshError, SettingsError, Unreachable
from everfresh.contracts.experiments.definition import DEFAULT
from everfresh.contracts.settings import Settings
from everfresh.trainer.actor_hold import ActorHold, end_all
from everfresh.trainer.distributed.ray_workers import process_resources
from everfresh.trainer.ray_actor import TrainerActor
from everfresh.trainer.run import RunStatus, TrainerPorts
from everfresh.trainer.track_actors import TrackActors

NAME = "trainer"

STOP_S = 2.0
"""How long a stop may wait for a step boundary before the actor is killed, which is harmless."""

_NAME_WAIT_S = 10.0
_ANSWER_S = 0.5
_HOLDER_S = 5.0


class OpenPorts(Protocol):
    """See ``wiring.open_ports``."""

    def __call__(self, settings: Settings, only: str | None = None) -> TrainerPorts:
        """Connect."""


def join_cluster(settings: Settings) -> None:
    """Join the cluster of the settings, or of ``RAY_ADDRESS``. ``Unreachable`` where none answers.

    Ray's token comes from the environment (``RAY_AUTH_TOKEN``, ``RAY_AUTH_TOKEN_PATH``).
    """
    address = _address(settings)
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
            namespace=settings.ray.application,
            log_to_driver=False,
            logging_level=logging.ERROR,
            configure_logging=False,
        )
    except (RayError, ConnectionError, RuntimeError, ValueError) as error:
        raise Unreachable(
            f"no Ray cluster to join at {address} ({error}); check ray.address, and that the "
            "cluster runs, with a node on this machine; if it asks for a token, set RAY_AUTH_MODE="
            "token, and RAY_AUTH_TOKEN_PATH unless the token is in ~/.ray/auth_token"
        ) from None


def _address(settings: Settings) -> str:
    return settings.ray.address or os.environ.get("RAY_ADDRESS", "")


class TrainerDriver:
    """The driver's hold on its actor. :meth:`check` about once a second, :meth:`stop` once."""

    def __init__(self, settings: Settings, open_ports: OpenPorts) -> None:
        self._address = _address(settings)
        self._ray = ListenerWatch(self._address, "ray.address")
        _require_gpus(settings)
        placement, beside = _placement(settings), settings.trainer.beside
        first = _create(settings, open_ports, placement, DEFAULT if beside else None)
        self._first = ActorHold(first, "the trainer's process")
        self._others: TrackActors[ActorHold] | None = None
        self._told: dict[str, str] = {}
        if beside:
            self._others = TrackActors(
                FsspecTracks(settings),
                lambda track: ActorHold(
                    _create(settings, open_ports, placement, track), f"the process of track {track}"
                ),
                lambda holds: end_all(holds, STOP_S),
            )

    @property
    def restarts(self) -> int:
        """How often Ray had to start the actor again."""
        return self._first.restarts

    def check(self) -> RunStatus | None:
        """How the actor stands; ``None`` while Ray starts it, the first time or again.

        ``EverfreshError`` where it has failed for good, with the actor's own message, or where Ray
        has gone: even if it comes back, it is another one, which knows nothing of the actor.
        """
        if not self._ray.look():
            self._require_ray()
            return None
        if self._others is not None:
            self._others.look()
        status = self._first.ask(_ANSWER_S)
        if status is not None:
            if status.error is not None:
                raise EverfreshError(status.error)
            self._tell_causes()
        return status

    def _tell_causes(self) -> None:
        """To the first actor, which speaks for tracks whose process cannot; again at each look,
        since it may be another process by now."""
        causes = {} if self._others is None else self._others.causes()
        if causes or self._told:
            self._told = causes
            self._first.actor.untrained.remote(causes)

    def stop(self) -> RunStatus | None:
        """End the actors, by asking and then by force; the first one's last word if it gave one."""
        if self._ray.gone:
            return None
        others = [] if self._others is None else self._others.holds()
        return end_all([self._first, *others], STOP_S)[0]

    def _require_ray(self) -> None:
        if self._ray.gone:
            raise Unreachable(
                f"Ray at {self._address} is gone, and the training process with it; start it, "
                "then the trainer again"
            )


def leave_cluster() -> None:
    """Leave the cluster."""
    ray.shutdown()


def _require_gpus(settings: Settings) -> None:
    """``SettingsError`` where the cluster has too few: Ray would wait for them without a word."""
    tuning = settings.trainer
    gpus = int(ray.cluster_resources().get("GPU", 0))  # type: ignore[no-untyped-call]
    if tuning.device == "cuda" and gpus < tuning.workers:
        raise SettingsError(
            f"trainer.device is cuda with trainer.workers={tuning.workers}, and this Ray cluster "
            f"has {gpus} GPUs: one is needed for each; add nodes with GPUs, lower "
            "trainer.workers, or set trainer.device to cpu"
        )


def _placement(settings: Settings) -> dict[str, Any]:
    """Actor options that keep the trainer where its versions are; none for an object store.

    ``SettingsError`` where this node cannot take it, because Ray would wait without a word.
    """
    url, wanted = settings.weights_url, process_resources(settings)
    nodes = [node for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
    if settings.in_object_store:
        if not any(_has_labels(node, settings) for node in nodes):
            raise SettingsError(
                f"no node of this Ray cluster has the labels {_labels(settings)}, and Ray would "
                "wait for one without a word: start one with `ray start --labels`, or change "
                "trainer.node_labels"
            )
        return {}
    here = ray.get_runtime_context().get_node_id()
    node = next(node for node in nodes if node["NodeID"] == here)
    has = node["Resources"]
    for name, needed in (("CPU", wanted["num_cpus"]), ("GPU", wanted["num_gpus"])):
        if has.get(name, 0.0) < needed:
            raise SettingsError(
                f"this machine's node has {has.get(name, 0.0):g} {name}s in the Ray cluster, and "
                f"the trainer needs {needed:g} here, because the versions are in {url}: start the "
                f"node with more (ray start --num-{name.lower()}s), or name an object store in "
                "weights.url, so that the trainer can run on any node"
            )
    if not _has_labels(node, settings):
        raise SettingsError(
            f"this machine's node has not the labels {_labels(settings)} (trainer.node_labels), "
            f"and the trainer must run here, because the versions are in {url}: name an object "
            "store in weights.url, so that the trainer can run on the nodes with these labels"
        )
    # One way of placing is enough: the node's labels have been looked at.
    return {
        "scheduling_strategy": NodeAffinitySchedulingStrategy(here, soft=False),
        "label_selector": None,
    }


def _has_labels(node: Mapping[str, Any], settings: Settings) -> bool:
    has: Mapping[str, str] = node.get("Labels", {})
    return settings.trainer.label_selector.items() <= has.items()


def _labels(settings: Settings) -> str:
    return ", ".join(settings.trainer.node_labels)


def _create(
    settings: Settings, open_ports: OpenPorts, placement: Mapping[str, Any], only: str | None
) -> Any:
    """The named actor; waits a while for the name where an earlier driver has only just gone."""
    here = settings.model_copy(update={"home": settings.home.resolve()})
    name = NAME if only in (None, DEFAULT) else f"{NAME}-{only}"
    actor = ray.remote(TrainerActor).options(
        name=name,
        max_restarts=-1,
        max_task_retries=0,
        **{**process_resources(settings), **placement},
    )
    deadline = time.monotonic() + _NAME_WAIT_S
    while True:
        try:
            return actor.remote(here, partial(open_ports, only=only), only)
        except ValueError:
            if time.monotonic() >= deadline:
                raise Unreachable(
                    f"this Ray cluster has a trainer already, that of {_holder(settings, name)} "
                    f"(actor {name!r} in namespace {settings.ray.application!r}); stop it first, "
                    "give this everfresh another name (ray.application), or use another cluster"
                ) from None
            time.sleep(0.5)


def _holder(settings: Settings, name: str) -> str:
    """Whose trainer has the name."""
    # One that is still starting does not answer; one of an earlier release has no such method.
    with contextlib.suppress(RayError, ValueError, AttributeError):
        holder = ray.get_actor(name, namespace=settings.ray.application)
        return f"home {ray.get(holder.place.remote(), timeout=_HOLDER_S)}"
    return "another run"
