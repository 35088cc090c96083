"""What Ray Serve is told of the number of replicas: one, or a range that follows the load."""

from __future__ import annotations

from typing import Any

from ray.serve.config import AutoscalingConfig, AutoscalingPolicy

from everfresh.contracts.settings import ServingSettings
from everfresh.serving.ray.scaling_policy import follow_load

_JOIN_AFTER_S = 3.0
"""For how long more replicas must be wanted before one is started, which takes some seconds too."""

_LOOK_BACK_S = 10.0
_SAY_EVERY_S = 1.0


def replicas(serving: ServingSettings) -> dict[str, Any]:
    """Options of the deployment."""
    wanted = serving.replica_range
    if not wanted.follows_load:
        return {"num_replicas": wanted.least}
    return {
        "autoscaling_config": AutoscalingConfig(
            min_replicas=wanted.least,
            initial_replicas=wanted.least,
            max_replicas=wanted.most,
            look_back_period_s=_LOOK_BACK_S,
            upscale_delay_s=_JOIN_AFTER_S,
            downscale_delay_s=serving.leave_after_s,
            # Ray leaves it without types.
            policy=AutoscalingPolicy(policy_function=follow_load),  # type: ignore[no-untyped-call]
        )
    }


def environment() -> dict[str, str]:
    """Variables of a replica: how often it tells Serve's controller how busy it is."""
    return {"RAY_SERVE_REPLICA_AUTOSCALING_METRIC_PUSH_INTERVAL_S": str(_SAY_EVERY_S)}
