"""Holds Ray Serve's gRPC servers to the node's own address.

Ray 2.60 opens the gRPC server of each replica and of its fallback proxy on every interface,
whatever the HTTP host, and offers no setting.
"""

from __future__ import annotations

import importlib
from typing import Any


def keep_to_the_node() -> None:
    """For a process whose doors are not open yet.

    HAProxy reaches these servers at the address that Ray says the node has.
    """
    ray: Any = importlib.import_module("ray")
    chosen: Any = importlib.import_module("ray.serve._private.default_impl")
    address = str(ray.util.get_node_ip_address())
    host = f"[{address}]" if ":" in address else address

    def add_here(server: Any, wanted: str) -> None:
        server.add_insecure_port(wanted.replace("[::]", host))

    chosen.add_grpc_address = add_here
