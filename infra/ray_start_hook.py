"""What our Ray does otherwise: called by ``ray start`` before it starts (``RAY_START_HOOK``).

Ray 2.60 starts a dashboard process even where it is told to have none, for its usage statistics
alone. Where these are off, that process still asks the metadata addresses of three clouds where it
runs, and tells the statistics host that they are off. No setting prevents either. So the process is
not started; it was of no other use here.

It also gives up when its node has not come up within 30 s, which no setting changes. On a busy
machine that takes longer. So it looks more patiently, unless one of the node's processes has ended:
then nothing will come. (One look of Ray's takes 30 s itself.) Whoever starts it has a limit of its
own.

And the node itself ends unless its agents, which are Python, have written their ports to files
within 15 s (ray-project/ray, issue 65983). It does not wait for ports that it is told, and there is
one that it cannot be told: so that one's file is written before.

This follows the source of the Ray release named below. When another one is installed, a test fails:
read ``Node.start_api_server``, ``Node.__init__`` (where it waits for ``services.get_node``),
``dashboard/agent.py`` (where it persists ports) and ``dashboard/modules/usage_stats`` again, then
move the constant.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable
from typing import Any

RAY_VERSION = "2.60.0"
"""The release in which these private parts were read."""

_NOWHERE = b"127.0.0.1:0"
"""What Ray's agents find as the dashboard's address; without one they ask for it every second."""


_LOOK_S = 0.5
_PATIENCE_S = 600.0


def prepare(_parameters: object, _is_head: bool) -> None:
    """For the process of ``ray start``, before it starts anything."""
    constants: Any = importlib.import_module("ray._private.ray_constants")
    node: Any = importlib.import_module("ray._private.node")

    def start_api_server(self: Any, **_: object) -> None:
        self.get_gcs_client().internal_kv_put(
            constants.DASHBOARD_ADDRESS.encode(), _NOWHERE, True, constants.KV_NAMESPACE_DASHBOARD
        )

    node.Node.start_api_server = start_api_server
    raylet: Any = importlib.import_module("ray._raylet")
    start, started = node.Node.start_ray_processes, list[Any]()

    def start_ray_processes(self: Any) -> None:
        started.append(self)
        if port := self.dashboard_agent_listen_port:
            name, of = raylet.DASHBOARD_AGENT_LISTEN_PORT_NAME, self.get_session_dir_path()
            raylet.persist_port(of, self._node_id, name, port)
        start(self)

    def ended() -> list[str]:
        return [name for each in started for name, _ in each.dead_processes()]

    node.Node.start_ray_processes = start_ray_processes
    services: Any = importlib.import_module("ray._private.services")
    services.get_node = patient(services.get_node, ended)


def patient(get_node: Callable[..., Any], ended: Callable[[], list[str]]) -> Callable[..., Any]:
    """``get_node``, which raises ``RuntimeError`` until the node is there, waiting for that.

    ``SystemExit`` where one of the node's processes has ``ended`` meanwhile.
    """

    def get(*arguments: Any) -> Any:
        until = time.monotonic() + _PATIENCE_S
        while True:
            try:
                return get_node(*arguments)
            except RuntimeError:
                if names := ended():
                    raise SystemExit(f"{', '.join(names)} ended while Ray was starting") from None
                if time.monotonic() > until:
                    raise
                time.sleep(_LOOK_S)

    return get


NAME = f"{__name__}.{prepare.__name__}"
"""The value of ``RAY_START_HOOK``."""
