"""What our Ray does otherwise: called by ``ray start`` before it starts (``RAY_START_HOOK``).

Ray 2.60 starts a dashboard process even where it is told to have none, for its usage statistics
alone. Where these are off, that process still asks the metadata addresses of three clouds where it
runs, and tells the statistics host that they are off. No setting prevents either. So the process is
not started; it was of no other use here.

It also gives up when its node has not come up within 30 s, which no setting changes. On a busy
machine that takes longer. So it looks more patiently; whoever starts it has a limit of its own.

This follows the source of the Ray release named below. When another one is installed, a test fails:
read ``Node.start_api_server``, ``Node.__init__`` (where it waits for ``services.get_node``) and
``dashboard/modules/usage_stats`` again, then move the constant.
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
    services: Any = importlib.import_module("ray._private.services")
    services.get_node = patient(services.get_node)


def patient(get_node: Callable[..., Any]) -> Callable[..., Any]:
    """``get_node``, which raises ``RuntimeError`` until the node is there, waiting for that."""

    def get(*arguments: Any) -> Any:
        until = time.monotonic() + _PATIENCE_S
        while True:
            try:
                return get_node(*arguments)
            except RuntimeError:
                if time.monotonic() > until:
                    raise
                time.sleep(_LOOK_S)

    return get


NAME = f"{__name__}.{prepare.__name__}"
"""The value of ``RAY_START_HOOK``."""
