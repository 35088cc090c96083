"""``ADDRESS``: an empty Ray Serve deployment at ``/echo``, beside what runs there already."""

from __future__ import annotations

import os
import signal
import sys

import ray
from ray import serve
from starlette.requests import Request

from benchmarks.serving.stand import ECHO


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
    """Deploy, wait to be told to stop, withdraw."""
    ray.init(sys.argv[1], namespace="everfresh", log_to_driver=False)
    quiet = {"enable_access_log": False}
    serve.run(Echo.bind(), name="echo", route_prefix=ECHO, logging_config=quiet)
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    serve.delete("echo")


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    main()
