"""Holds Ray Serve's gRPC servers to the node's own address.

Ray 2.60 opens the gRPC server of each replica and of its fallback proxy on every interface,
whatever the HTTP host, and offers no setting. What it does offer is a function of ours to be called
in each of these processes before its doors open; this is it.
"""

from __future__ import annotations

import importlib
from typing import Any

HOOK = "serving.loopback:keep_to_the_node"
"""For ``RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH``."""


def keep_to_the_node() -> list[Any]:
    """Called by Ray, perhaps twice in a process; returns the HTTP middlewares to add, none.

    HAProxy reaches these servers at the address that Ray says the node has.
    """
    ray: Any = importlib.import_module("ray")
    chosen: Any = importlib.import_module("ray.serve._private.default_impl")
    address = str(ray.util.get_node_ip_address())
    host = f"[{address}]" if ":" in address else address

    def add_here(server: Any, wanted: str) -> None:
        server.add_insecure_port(wanted.replace("[::]", host))

    chosen.add_grpc_address = add_here
    return []
