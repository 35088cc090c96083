"""Serving on Ray Serve: the application and its door, opened, found and closed.

Ray reads the variables of :mod:`everfresh.serving.ray.haproxy` when it is imported, so they are
in the environment before this file is.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping

import numpy as np
import ray
from ray import serve
from ray.exceptions import ActorDiedError, RayError
from ray.serve.config import ControllerOptions, HTTPOptions, ProxyLocation, gRPCOptions
from ray.serve.schema import LoggingConfig, ServeInstanceDetails, ServeStatus

from everfresh.adapters.observe.tracing.variables import trace_variables
from everfresh.contracts.errors import Unreachable
from everfresh.contracts.settings import Settings
from everfresh.serving.ray import (
    autoscaling,
    ownership,
    placement,
    progress,
    ray_patches,
    shared_serve,
)
from everfresh.serving.ray.ownership import Owner
from everfresh.serving.ray.replica_deployment import ReplicaDeployment
from everfresh.serving.ray.shared_serve import Door, Serve
from everfresh.serving.versions.pushed_weights import PushedFiles

_NEVER_REACHED = 10_000
_BROADCAST_S = 30.0


@contextlib.contextmanager
def cluster(settings: Settings) -> Iterator[None]:
    """A connection to Ray. ``Unreachable`` where it cannot be made, such as with a wrong token."""
    address = settings.ray.address
    try:
        ray.init(
            address=address,
            namespace=settings.ray.application,
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


def deploy(
    settings: Settings,
    ports: Callable[[], tuple[int, int]],
    environment: Mapping[str, str],
    say: progress.Say,
) -> Door:
    """Open the doors, HTTP and gRPC, or stand behind those that are open; return where they are
    when every replica answers. ``say`` is told in lines how far it is.

    ``ports`` are asked for where the doors are ours to open, and Serve's processes then have
    ``environment``. What a killed driver of this home left behind is removed first. ``Unreachable``
    where the application's name or path is another's, where this machine is not the cluster's
    head, or where the door or the replicas do not come up. What is another's stays as it is.
    """
    # What goes wrong is raised; the rest would only stand between the operator and our one line.
    logging.getLogger("ray.serve").setLevel(logging.ERROR)
    ray_patches.wait_for_doors(settings.run.start_timeout_s)
    node = placement.node_of_door(settings.ray.address)
    name, mine = settings.ray.application, ownership.Owner.of(settings)
    quiet = LoggingConfig(enable_access_log=False, log_level="WARNING")
    try:
        _end_earlier(settings, mine)
        if ownership.take_serve(mine, settings.serving.host):
            say("Ray Serve starts")
            door = _open(settings, ports(), environment, quiet)
        else:
            running = shared_serve.read()
            shared_serve.require_place(running, settings)
            door = running.door
            say(_told(running, settings))
        application = _application(settings, node)
        with progress.telling(name, _status, say):
            prefix = settings.serving.route_prefix
            serve.run(application, name=name, route_prefix=prefix, logging_config=quiet)
    except (RayError, RuntimeError, TimeoutError) as error:
        said = " ".join(str(error).split())
        raise Unreachable(
            f"the door at {settings.serving.host} did not open: {said}; "
            f"{settings.home}/logs has the replicas' words"
        ) from None
    return door


def broadcast(application: str, files: PushedFiles, track: str) -> None:
    """Put a track's files into the object store once, then hand them to every replica; returns when
    all have taken them.

    It reaches replicas that are alive at the call. Each raises what it raises; the rest got it.
    """
    buffers = {sha256: np.frombuffer(data, np.uint8) for sha256, data in files.items()}
    handle = serve.get_app_handle(application)
    handle.broadcast("receive", ray.put(buffers), track).results(timeout_s=_BROADCAST_S)


def is_deployed(application: str) -> bool:
    """Whether Serve still has the application; somebody may have shut Serve down, or deleted it.

    True also where Serve does not say, because its controller is busy or being started again.
    """
    try:
        return ownership.serve_runs() and application in shared_serve.read().applications
    except ActorDiedError:
        return False
    except RayError:
        return True


def _open(
    settings: Settings, ports: tuple[int, int], environment: Mapping[str, str], quiet: LoggingConfig
) -> Door:
    """Start Serve with a door of ours."""
    port, grpc_port = ports
    serve.start(
        # The launcher gives HAProxy the address of the door; this is for what is behind it.
        http_options=HTTPOptions(host=ray_patches.loopback(), port=port),
        grpc_options=gRPCOptions(
            port=grpc_port,
            grpc_servicer_functions=[shared_serve.SERVICE],
            request_timeout_s=settings.serving.timeout_ms / 1000,
        ),
        proxy_location=ProxyLocation.HeadOnly,
        logging_config=quiet,
        # Proxies and replicas, whoever deploys them, have these from the controller.
        controller_options=ControllerOptions(runtime_env={"env_vars": dict(environment)}),
    )
    return Door(settings.serving.host, port, grpc_port)


def _status() -> ServeStatus:
    return ServeInstanceDetails(**shared_serve.details())._get_status()


def _told(running: Serve, settings: Settings) -> str:
    others = ", ".join(running.others(settings.ray.application)) or "nothing yet"
    return (
        f"Ray Serve runs already, with {others}: our addresses are behind its door, at "
        f"{settings.serving.route_prefix}, and its limits on requests come before ours"
    )


def _application(settings: Settings, node: str) -> serve.Application:
    threads = str(settings.serving.threads)
    as_deployment = serve.deployment(
        name="Replica",
        **autoscaling.replicas(settings.serving),
        # The replica refuses what is too much with a problem document; Ray would queue it. HAProxy
        # holds fewer connections than this.
        max_ongoing_requests=_NEVER_REACHED,
        ray_actor_options={
            # None unless told: replicas share the machine with Kafka, the worker and the trainer.
            "num_cpus": settings.serving.cpus,
            # Where the worker's state and the weights are, and where HAProxy asks.
            "label_selector": {"ray.io/node-id": node},
            "runtime_env": {
                "env_vars": {"OMP_NUM_THREADS": threads, **autoscaling.environment()},
            },
        },
        health_check_period_s=5,
        health_check_timeout_s=15,
        graceful_shutdown_timeout_s=3,
        graceful_shutdown_wait_loop_s=0.1,
    )
    deployment = as_deployment(serve.ingress()(ReplicaDeployment))
    return deployment.bind(settings.model_dump(mode="json"), trace_variables(settings))


def withdraw(settings: Settings) -> bool:
    """End the replicas, and where nobody else needs them the door and HAProxy, if they are ours.
    Ray itself stays. Whether a door that is ours stays open for others."""
    mine, name, stays = ownership.Owner.of(settings), settings.ray.application, False
    # Where Ray went first there is nothing left to close.
    with contextlib.suppress(RayError, ConnectionError):
        if ownership.serve_runs():
            stays = _end(name, mine) and ownership.owner_of_serve() == mine
        if ownership.owner_of_application(name) == mine:
            ownership.release_application(name)
        if ownership.owner_of_serve() == mine and not stays:
            ownership.release_serve()
    return stays


def _end_earlier(settings: Settings, mine: Owner) -> None:
    """Take our name, and end what a killed driver of this home left under it."""
    name, address = settings.ray.application, settings.ray.address

    def running() -> list[str]:
        return shared_serve.read().applications if ownership.serve_runs() else []

    left = ownership.take_application(name, mine, running, address)
    # A door that this home has opened and nobody else is behind is opened anew, as settings say.
    if left or (ownership.serve_runs() and ownership.owner_of_serve() == mine):
        _end(name, mine)


def _end(name: str, mine: Owner) -> bool:
    """End our application, and Serve if it is ours and has no other; whether Serve runs on."""
    running = shared_serve.read()
    if ownership.owner_of_serve() == mine and not running.others(name):
        # Ray leaves it without types.
        serve.shutdown()  # type: ignore[no-untyped-call]
        # Else who looks now may take it for one that runs on.
        ownership.await_end()
        return False
    if name in running.applications and ownership.owner_of_application(name) == mine:
        serve.delete(name)
    return True
