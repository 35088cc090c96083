"""Deploys an empty Ray Serve endpoint beside what runs there: ``ADDRESS ROUTE``."""

from __future__ import annotations

import os
import signal
import sys

import ray
from ray import serve
from starlette.requests import Request


@serve.deployment(
    num_replicas=int(os.environ.get("ECHO_REPLICAS", "2")),
    max_ongoing_requests=10_000,
    ray_actor_options={"num_cpus": 0},
)
class Echo:
    """Answers without looking."""

    async def __call__(self, request: Request) -> str:
        """Two letters."""
        return "ok"


def main() -> None:
    """Deploy, wait for a signal to stop, withdraw."""
    address, route = sys.argv[1:3]
    ray.init(address, namespace="everfresh", log_to_driver=False)
    quiet = {"enable_access_log": False}
    serve.run(Echo.bind(), name="echo", route_prefix=route, logging_config=quiet)
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    serve.delete("echo")


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    main()
