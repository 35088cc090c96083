"""Serving on Ray Serve: the application, its door, and the replicas on the node of this machine.

Ray reads the variables of :mod:`everfresh.serving.ray.haproxy` when it is imported, so they are
in the environment before this file is.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import ray
from ray import serve
from ray.exceptions import ActorDiedError, RayError
from ray.serve.config import HTTPOptions, ProxyLocation, gRPCOptions
from ray.serve.schema import LoggingConfig

from everfresh.contracts.errors import Unreachable
from everfresh.contracts.settings import Settings, load_settings
from everfresh.serving.ray import ownership, placement, progress, ray_patches
from everfresh.serving.versions.pushed_weights import PushedFiles

_LOG = logging.getLogger(__name__)
APPLICATION = "everfresh"
NAMESPACE = "everfresh"
_LOOK_S = 0.05
_NEVER_REACHED = 10_000
_SERVICE = "everfresh.serving.rpc.registration.add_recommender_to_server"
_BROADCAST_S = 30.0
_SWITCH_S = 0.0005
"""A thread that wants the interpreter takes it after so long; 5 ms unless told otherwise."""


class ReplicaDeployment:
    """One replica process. Settings come as plain data, because Ray pickles them.

    Law 8: the constructor returns once the current version is live here, or there is none yet, and
    the state that is to be followed is here; Ray sends no request before. The app is then asked
    for by Ray, under this name.
    """

    def __init__(self, settings: Mapping[str, Any]) -> None:
        # Here, in the replica's process: a driver needs neither torch nor Kafka nor RocksDB.
        import torch  # noqa: PLC0415 - heavy, and only of use there

        from everfresh.adapters.observe.logs import configure_logging  # noqa: PLC0415 - as above
        from everfresh.serving.wiring import WiredReplica  # noqa: PLC0415 - as above

        self._settings = load_settings(dict(settings))
        torch.set_num_threads(self._settings.serving.threads)
        context = serve.get_replica_context()
        configure_logging(f"replica-{context.rank.rank}", self._settings.home)
        if late := os.nice(0):
            _LOG.warning(
                "Ray runs its processes at niceness %d, and so this replica: on a busy machine it "
                "waits behind all others; start Ray with RAY_worker_niceness=0",
                late,
            )
        self._wired = WiredReplica(f"replica-{context.replica_id.unique_id}", self._settings)
        self._wired.replica.start()
        while not self._wired.may_join():
            time.sleep(_LOOK_S)
        _answer_promptly()

    def __serve_build_asgi_app__(self) -> Any:
        """Called by Ray, once, after the constructor."""
        return self._wired.http

    async def receive(self, files: Mapping[str, Any], track: str) -> None:
        """Called on every replica by :func:`broadcast`, with buffers in the shared object store."""
        views = {sha256: memoryview(data) for sha256, data in files.items()}
        self._wired.replica.receive(views, track)

    # Ray calls these by the names of the service's methods (``serving/rpc/recommender.proto``).

    async def Recommend(self, request: Any, grpc_context: Any) -> Any:  # noqa: N802 - as above
        """See the service."""
        return await self._wired.rpc.recommend(request, grpc_context)

    async def Score(self, request: Any, grpc_context: Any) -> Any:  # noqa: N802 - as above
        """See the service."""
        return await self._wired.rpc.score(request, grpc_context)

    async def Similar(self, request: Any, grpc_context: Any) -> Any:  # noqa: N802 - as above
        """See the service."""
        return await self._wired.rpc.similar(request, grpc_context)

    async def Version(self, request: Any, grpc_context: Any) -> Any:  # noqa: N802 - as above
        """See the service."""
        return await self._wired.rpc.version(request, grpc_context)

    async def check_health(self) -> None:
        """Called by Ray on the loop that answers requests; an error has the replica replaced."""
        complaint = self._wired.replica.complaint()
        if complaint is not None:
            raise RuntimeError(complaint)

    def __del__(self) -> None:
        wired = getattr(self, "_wired", None)
        if wired is not None:
            wired.close()


def _answer_promptly() -> None:
    """Make the interpreter's own pauses short, for requests share it with the follower."""
    sys.setswitchinterval(_SWITCH_S)
    # What is there now stays: looking through it for cycles would stop all threads.
    gc.collect()
    gc.freeze()


@contextlib.contextmanager
def cluster(address: str, environment: Mapping[str, str]) -> Iterator[None]:
    """A connection to Ray whose actors, Serve's among them, have ``environment``.

    ``Unreachable`` where it cannot be made, such as with a wrong token.
    """
    try:
        ray.init(
            address=address,
            namespace=NAMESPACE,
            runtime_env={"env_vars": dict(environment)},
            log_to_driver=False,
            logging_level=logging.WARNING,
        )
    except (RayError, ConnectionError, RuntimeError) as error:
        said = " ".join(str(error).split())
        raise Unreachable(
            f"Ray at {address} did not let us in: {said}; check ray.address, and that the cluster "
            "has a node on this machine; if it asks for a token, set RAY_AUTH_MODE=token, and "
            "RAY_AUTH_TOKEN_PATH unless the token is in ~/.ray/auth_token"
        ) from None
    try:
        yield
    finally:
        ray.shutdown()


def deploy(settings: Settings, port: int, grpc_port: int, say: progress.Say) -> None:
    """Open the doors, HTTP and gRPC, and return when every replica answers. ``say`` is told in
    lines how far it is.

    What a killed driver of this home left behind is removed first. ``Unreachable`` where Serve is
    somebody else's, which stays as it is, where this machine is not the cluster's head, or where
    the door or the replicas do not come up.
    """
    # What goes wrong is raised; the rest would only stand between the operator and our one line.
    logging.getLogger("ray.serve").setLevel(logging.ERROR)
    ray_patches.wait_for_doors(settings.run.start_timeout_s)
    node = placement.node_of_door(settings.ray.address)
    if ownership.take_serve(ownership.Owner.of(settings), settings.ray.address):
        _end_earlier(settings.ray.address)
    say("Ray Serve starts")
    quiet = LoggingConfig(enable_access_log=False, log_level="WARNING")
    try:
        serve.start(
            # The launcher gives HAProxy the address of the door; this is for what is behind it.
            http_options=HTTPOptions(host=ray_patches.loopback(), port=port),
            grpc_options=gRPCOptions(
                port=grpc_port,
                grpc_servicer_functions=[_SERVICE],
                request_timeout_s=settings.serving.timeout_ms / 1000,
            ),
            proxy_location=ProxyLocation.HeadOnly,
            logging_config=quiet,
        )
        application = _application(settings, node)
        with progress.telling(APPLICATION, serve.status, say):
            serve.run(application, name=APPLICATION, route_prefix="/", logging_config=quiet)
    except (RayError, RuntimeError, TimeoutError) as error:
        said = " ".join(str(error).split())
        raise Unreachable(
            f"the door at {settings.serving.host}:{port} did not open: {said}; "
            f"{settings.home}/logs has the replicas' words"
        ) from None


def broadcast(files: PushedFiles, track: str) -> None:
    """Put a track's files into the object store once, then hand them to every replica; returns when
    all have taken them.

    It reaches replicas that are alive at the call. Each raises what it raises; the rest got it.
    """
    buffers = {sha256: np.frombuffer(data, np.uint8) for sha256, data in files.items()}
    handle = serve.get_app_handle(APPLICATION)
    handle.broadcast("receive", ray.put(buffers), track).results(timeout_s=_BROADCAST_S)


def is_deployed() -> bool:
    """Whether Serve still has the application; somebody may have shut Serve down, or deleted it.

    True also where Serve does not say, because its controller is being started again.
    """
    try:
        return ownership.serve_runs() and APPLICATION in serve.status().applications
    except ActorDiedError:
        return False
    except RayError:
        return True


def _application(settings: Settings, node: str) -> serve.Application:
    threads = str(settings.serving.threads)
    as_deployment = serve.deployment(
        name="Replica",
        num_replicas=settings.serving.replicas,
        # The replica refuses what is too much with a problem document; Ray would queue it. HAProxy
        # holds fewer connections than this.
        max_ongoing_requests=_NEVER_REACHED,
        # Replicas share the machine with Kafka, the worker and the trainer; Ray is not to count.
        ray_actor_options={
            "num_cpus": 0,
            # Where the worker's state and the weights are, and where HAProxy asks.
            "label_selector": {"ray.io/node-id": node},
            "runtime_env": {"env_vars": {"OMP_NUM_THREADS": threads}},
        },
        health_check_period_s=5,
        health_check_timeout_s=15,
        graceful_shutdown_timeout_s=3,
        graceful_shutdown_wait_loop_s=0.1,
    )
    deployment = as_deployment(serve.ingress()(ReplicaDeployment))
    return deployment.bind(settings.model_dump(mode="json"))


def withdraw(settings: Settings) -> None:
    """Close the door, end the replicas and HAProxy, if they are ours. Ray itself stays."""
    mine = ownership.Owner.of(settings)
    # Where Ray went first there is nothing left to close.
    with contextlib.suppress(RayError, ConnectionError):
        if ownership.owns_serve(mine):
            if _others():
                serve.delete(APPLICATION)
            else:
                _shut_down()
        if ownership.read_owner() == mine:
            ownership.release_serve()


def _end_earlier(address: str) -> None:
    """End the Serve of an earlier driver; ``Unreachable`` where it has come to serve others too."""
    if others := _others():
        raise Unreachable(
            f"Ray at {address} also serves {', '.join(others)}, and everfresh needs a Serve of its "
            "own: delete that, or name another Ray"
        )
    _shut_down()


def _others() -> list[str]:
    return sorted(set(serve.status().applications) - {APPLICATION})


def _shut_down() -> None:
    # Ray leaves it without types.
    serve.shutdown()  # type: ignore[no-untyped-call]
