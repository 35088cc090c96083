"""Patches of Ray Serve's private parts: its gRPC servers listen on the node's own address alone.

Ray opens three kinds of gRPC server on every interface, whatever the HTTP host, and offers no
setting: of each replica for requests, of each replica for calls from other deployments, and of the
fallback proxy. HAProxy and Ray itself reach them at the address that Ray says the node has.

Everything here follows the source of the Ray release named below. When another one is installed, a
test fails: read these places again, then move the constant.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

RAY_VERSION = "2.60.0"
"""The release in which these private parts were read."""

_EVERYWHERE = "[::]"
_REPLICA = "ray.serve._private.replica"


def bind_grpc_to_node() -> None:
    """For a process of Serve's whose doors are not open yet. Harmless twice."""
    host = _node_host()
    _bind_grpc_door(host)
    _bind_replica_calls(host)


def _node_host() -> str:
    ray: Any = importlib.import_module("ray")
    address = str(ray.util.get_node_ip_address())
    return f"[{address}]" if ":" in address else address


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

    It asks for Ray's token, but need not be seen at all. Only a replica's process has the module.
    """
    replica: Any = sys.modules.get(_REPLICA)
    if replica is None:
        return
    tls_utils: Any = importlib.import_module("ray._common.tls_utils")

    def add_port_to_grpc_server(server: Any, wanted: str) -> int:
        address = wanted.replace(_EVERYWHERE, host)
        return int(tls_utils.add_port_to_grpc_server(server, address))

    replica.add_port_to_grpc_server = add_port_to_grpc_server
