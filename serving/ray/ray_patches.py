"""Patches of Ray Serve's private parts: what stands behind HAProxy listens on loopback alone.

HAProxy is the one door. Behind it are the HTTP and gRPC servers of each replica and of the fallback
proxy. Ray binds the HTTP ones to the host of the door, and gRPC ones to every interface; there is
no setting. HAProxy dials ``get_localhost_ip()`` for all that are on its own node, and ours are
(``deployment`` sees to that). So whatever addresses node and door have, this is where they listen.
Each replica also opens a gRPC server for calls from other deployments. There are none, and handles
do not use it (``RAY_SERVE_USE_GRPC_BY_DEFAULT``), so it need not be seen either.

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
_REPLICA, _PROXY = "ray.serve._private.replica", "ray.serve._private.proxy"


def bind_to_loopback() -> None:
    """For a process of Serve's whose doors are not open yet. Harmless twice."""
    network: Any = importlib.import_module("ray._common.network_utils")
    host = str(network.get_localhost_ip())
    literal = f"[{host}]" if ":" in host else host
    _bind_http(host)
    _bind_grpc_door(literal)
    _bind_replica_calls(literal)


def _bind_http(host: str) -> None:
    """The HTTP server of a replica, or of the fallback proxy: each has the function by name."""
    http_util: Any = importlib.import_module("ray.serve._private.http_util")

    async def start_asgi_http_server(app: Any, http_options: Any, **options: Any) -> Any:
        behind = http_options.model_copy(update={"host": host})
        return await http_util.start_asgi_http_server(app, behind, **options)

    for name in (_REPLICA, _PROXY):
        if module := sys.modules.get(name):
            vars(module)["start_asgi_http_server"] = start_asgi_http_server


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


def wait_for_doors(seconds: float) -> None:
    """For the driver: how long Serve waits until its doors are open, 60 s unless told."""
    for name in ("api", "client"):
        module: Any = importlib.import_module(f"ray.serve._private.{name}")
        module.HTTP_PROXY_TIMEOUT = seconds
