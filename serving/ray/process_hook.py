"""What is done in each of Serve's processes before its doors open (``haproxy.HOOK``)."""

from __future__ import annotations

from typing import Any

from everfresh.serving.ray import atomic_response as whole
from everfresh.serving.ray import grpc_address as loopback


def prepare() -> list[Any]:
    """Called by Ray, perhaps twice in a process; returns the HTTP middlewares to add, none."""
    loopback.keep_to_the_node()
    whole.install()
    return []
