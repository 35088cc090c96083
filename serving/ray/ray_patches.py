"""Patches of Ray Serve's private parts: gRPC servers behind HAProxy listen on loopback alone.

HAProxy is the one door. Behind it are the HTTP and gRPC servers of each replica and of the fallback
proxy. HAProxy dials ``get_localhost_ip()`` for all that are on its own node, and ours are
(``deployment`` sees to that). So whatever address the node has, this is where they listen. For HTTP
that is a setting; gRPC servers Ray opens on every interface. Each replica has one more, for calls
from other deployments. There are none, and handles do not use it (``haproxy.environment``), so it
need not be seen either.

gRPC servers for requests take messages of 2 GiB (Ray's setting for that bounds answers as well) and
keep connections without end. Here both are bounded.

Everything here follows the source of the Ray release named below. When another one is installed, a
test fails: read these places again, then move the constant.
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any

from everfresh.adapters.machine.tcp_ports import bracketed

RAY_VERSION = "2.60.0"
"""The release in which these private parts were read."""

MESSAGE_BYTES = "RAY_SERVE_GRPC_MAX_REQUEST_BYTES"
"""The environment variable with the longest message of a request; read here alone."""

HANDSHAKE_MS, IDLE_MS, AGE_MS, GRACE_MS = 10_000, 90_000, 600_000, 30_000

_EVERYWHERE = "[::]"
_REPLICA = "ray.serve._private.replica"


def loopback() -> str:
    """Where HAProxy reaches what is on its own node: 127.0.0.1, or ::1 where that is all."""
    network: Any = importlib.import_module("ray._common.network_utils")
    return str(network.get_localhost_ip())


def bind_grpc_to_loopback() -> None:
    """For a process of Serve's whose doors are not open yet. Harmless twice."""
    host = bracketed(loopback())
    _bind_grpc_door(host)
    _bind_replica_calls(host)


def _bind_grpc_door(host: str) -> None:
    """The server for requests: ``grpc_util.start_grpc_server`` looks the function up at each call.

    That is the server of a replica, and of the fallback proxy.
    """
    default_impl: Any = importlib.import_module("ray.serve._private.default_impl")

    def add_grpc_address(server: Any, wanted: str) -> None:
        server.add_insecure_port(wanted.replace(_EVERYWHERE, host))

    default_impl.add_grpc_address = add_grpc_address


def _bind_replica_calls(host: str) -> None:
    """The server for calls from other deployments, which a replica opens after its HTTP door.

    Only a replica's process has the module.
    """
    replica: Any = sys.modules.get(_REPLICA)
    if replica is None:
        return
    tls_utils: Any = importlib.import_module("ray._common.tls_utils")

    def add_port_to_grpc_server(server: Any, wanted: str) -> int:
        address = wanted.replace(_EVERYWHERE, host)
        return int(tls_utils.add_port_to_grpc_server(server, address))

    replica.add_port_to_grpc_server = add_port_to_grpc_server


def bound_grpc_servers() -> None:
    """For a process of Serve's whose doors are not open yet. Harmless twice.

    No longer message is taken than :data:`MESSAGE_BYTES` says: gRPC's own code refuses it by its
    length, and by that which it is decompressed to. Connections without a call end after
    :data:`IDLE_MS`. Any is replaced after :data:`AGE_MS`, and ended :data:`GRACE_MS` later, for
    nothing else ends a call whose message never comes.
    """
    constants: Any = importlib.import_module("ray.serve._private.constants")
    ours = {
        "grpc.max_receive_message_length": int(os.environ[MESSAGE_BYTES]),
        "grpc.server_handshake_timeout_ms": HANDSHAKE_MS,
        "grpc.max_connection_idle_ms": IDLE_MS,
        "grpc.max_connection_age_ms": AGE_MS,
        "grpc.max_connection_age_grace_ms": GRACE_MS,
    }
    options = constants.DEFAULT_GRPC_SERVER_OPTIONS
    # In place: the module that starts servers has this very list.
    options[:] = [*((name, value) for name, value in options if name not in ours), *ours.items()]


def share_no_port() -> None:
    """For a process of Serve's whose doors are not open yet. Harmless twice.

    Ray tells gRPC by the text "0" that no other server may take its port, and gRPC passes over what
    is no number: its servers then share. Two Rays on one machine try the same ports, so that calls
    of one would be answered by replicas of the other. A port that is taken Ray leaves for the next.
    """
    grpc_util: Any = importlib.import_module("ray.serve._private.grpc_util")
    made = grpc_util.gRPCGenericServer.__init__
    if made.__module__ == __name__:
        return

    def make(self: Any, *given: Any, extra_options: Any = (), **named: Any) -> None:
        numbers = [(name, int(value)) for name, value in extra_options or ()]
        made(self, *given, extra_options=numbers, **named)

    grpc_util.gRPCGenericServer.__init__ = make


def wait_for_doors(seconds: float) -> None:
    """For the driver: how long Serve waits until its doors are open, 60 s unless told."""
    for name in ("api", "client"):
        module: Any = importlib.import_module(f"ray.serve._private.{name}")
        module.HTTP_PROXY_TIMEOUT = seconds
