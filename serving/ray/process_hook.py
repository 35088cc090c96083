"""What is done in each of Serve's processes before its doors open (``haproxy.HOOK``)."""

from __future__ import annotations

from typing import Any

from everfresh.serving.ray import ray_patches, uvicorn_patch


def install_patches() -> list[Any]:
    """Called by Ray, perhaps twice in a process; returns the HTTP middlewares to add, none."""
    ray_patches.bind_grpc_to_loopback()
    ray_patches.bound_grpc_servers()
    ray_patches.share_no_port()
    uvicorn_patch.install_atomic_response()
    return []
