"""How many replicas are wanted, by how busy those say they are that run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from everfresh.serving.ray.scaling_policy import follow_load

ROOT = Path(__file__).parents[3]


def context(target: int, *busy: float, running: int | None = None) -> SimpleNamespace:
    said = {f"replica-{number}": share for number, share in enumerate(busy)}
    now = target if running is None else running
    return SimpleNamespace(
        target_num_replicas=target, current_num_replicas=now, aggregated_metrics={"busy": said}
    )


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (context(2, 0.5, 0.5), 2),
        (context(2, 0.7, 0.7), 3),
        (context(1, 1.0), 2),
        (context(4, 1.0, 1.0, 1.0, 1.0), 7),
        (context(2, 0.3, 0.3), 2),
        (context(2, 0.2, 0.2), 1),
        (context(6, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1), 2),
        (context(3, 0.0, 0.0, 0.0), 1),
    ],
)
def test_so_many_replicas_are_wanted_that_none_is_busy_for_most_of_its_time(
    given: SimpleNamespace, wanted: int
) -> None:
    assert follow_load(given) == (wanted, {})


def test_a_replica_that_has_just_left_is_not_called_back() -> None:
    for load in (step / 100 for step in range(1, 600)):
        now = next(n for n in range(1, 20) if follow_load(context(n, *[load / n] * n))[0] == n)
        assert follow_load(context(now, *[load / now] * now))[0] == now
        fewer, _ = follow_load(context(now + 1, *[load / (now + 1)] * (now + 1)))
        assert follow_load(context(fewer, *[load / fewer] * fewer))[0] == fewer


def test_who_has_not_spoken_yet_is_taken_for_as_busy_as_the_others() -> None:
    assert follow_load(context(2, 0.55, running=2)) == (2, {})
    assert follow_load(SimpleNamespace(target_num_replicas=3, aggregated_metrics=None)) == (3, {})


# In a process of its own: Ray Serve warns as it is loaded.
SCRIPT = """
from ray import cloudpickle
from ray.serve.config import AutoscalingContext
from everfresh.contracts.settings import ServingSettings
from everfresh.serving.ray import autoscaling

config = autoscaling.replicas(ServingSettings(replicas="2..6", leave_after_s=30))[
    "autoscaling_config"
]
assert (config.min_replicas, config.initial_replicas, config.max_replicas) == (2, 2, 6)
assert config.downscale_delay_s == 30
assert autoscaling.replicas(ServingSettings(replicas=3)) == {"num_replicas": 3}
# As Serve's controller calls it: by value, with a context of Ray's own.
called = cloudpickle.loads(config.policy.get_serialized_policy_def())
context = AutoscalingContext(
    deployment_id=None,
    deployment_name="Replica",
    app_name="everfresh",
    current_num_replicas=1,
    target_num_replicas=1,
    running_replicas=[],
    total_num_requests=0.0,
    total_queued_requests=0.0,
    aggregated_metrics={"busy": {"a": 1.0}},
    raw_metrics={},
    capacity_adjusted_min_replicas=2,
    capacity_adjusted_max_replicas=6,
    policy_state={},
    last_scale_up_time=None,
    last_scale_down_time=None,
    current_time=None,
    config=config,
)
assert called(context) == (2, {}), called(context)
"""


@pytest.mark.process
def test_serve_is_given_what_it_calls() -> None:
    command = [sys.executable, "-c", SCRIPT]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
