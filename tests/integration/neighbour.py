"""Somebody else's application on a Ray Serve: ``ADDRESS NAME``. It starts Serve if none runs.

It answers with its name at ``/NAME``. With ``--start PORT`` Serve's door is at that port.
"""

from __future__ import annotations

import sys

import ray
from ray import serve
from starlette.requests import Request

from everfresh.serving.ray import ray_patches


@serve.deployment(ray_actor_options={"num_cpus": 0})
class Neighbour:
    """Says who it is."""

    def __init__(self, name: str) -> None:
        self._name = name

    async def __call__(self, request: Request) -> str:
        return self._name


def main() -> None:
    address, name, *start = sys.argv[1:]
    # On a busy machine a proxy takes longer to start than Ray's 5 s, and would be killed.
    patient = {"env_vars": {"RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "120"}}
    ray.init(address, namespace="others", log_to_driver=False, runtime_env=patient)
    ray_patches.wait_for_doors(600.0)
    if start:
        serve.start(http_options={"host": "127.0.0.1", "port": int(start[1])})
    serve.run(Neighbour.bind(name), name=name, route_prefix=f"/{name}")


if __name__ == "__main__":
    main()
