"""Leaves out of our Ray what asks the outside world: called by ``ray start`` (``RAY_START_HOOK``).

Ray 2.60 starts a dashboard process even where it is told to have none, for its usage statistics
alone. Where these are off, that process still asks the metadata addresses of three clouds where it
runs, and tells the statistics host that they are off. No setting prevents either. So the process is
not started; it was of no other use here.

This follows the source of the Ray release named below. When another one is installed, a test fails:
read ``Node.start_api_server`` and ``dashboard/modules/usage_stats`` again, then move the constant.
"""

from __future__ import annotations

import importlib
from typing import Any

RAY_VERSION = "2.60.0"
"""The release in which these private parts were read."""

_NOWHERE = b"127.0.0.1:0"
"""What Ray's agents find as the dashboard's address; without one they ask for it every second."""


def leave_out_dashboard(_parameters: object, _is_head: bool) -> None:
    """For the process of ``ray start``, before it starts anything."""
    constants: Any = importlib.import_module("ray._private.ray_constants")
    node: Any = importlib.import_module("ray._private.node")

    def start_api_server(self: Any, **_: object) -> None:
        self.get_gcs_client().internal_kv_put(
            constants.DASHBOARD_ADDRESS.encode(), _NOWHERE, True, constants.KV_NAMESPACE_DASHBOARD
        )

    node.Node.start_api_server = start_api_server


NAME = f"{__name__}.{leave_out_dashboard.__name__}"
"""The value of ``RAY_START_HOOK``."""
