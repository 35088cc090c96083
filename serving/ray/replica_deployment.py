"""The replica as Ray Serve runs it: one process, on the node of this machine."""

from __future__ import annotations

import gc
import logging
import os
import sys
import time
from collections.abc import Mapping
from typing import Any

from ray import serve

from everfresh.adapters.observe.tracing.variables import take_variables
from everfresh.contracts.settings import load_settings
from everfresh.serving.ray import short_path
from everfresh.serving.ray.loop_load import LoopLoad

_LOG = logging.getLogger(__name__)
_LOOK_S = 0.05
_SWITCH_S = 0.0005
"""A thread that wants the interpreter takes it after so long; 5 ms unless told otherwise."""


class ReplicaDeployment:
    """One replica process. Settings come as plain data, because Ray pickles them.

    Law 8: the constructor returns once the current version is live here, or there is none yet, and
    the state that is to be followed is here; Ray sends no request before. The app is then asked
    for by Ray, under this name.
    """

    def __init__(self, settings: Mapping[str, Any], traces: Mapping[str, str]) -> None:
        """``traces`` are the driver's variables of OpenTelemetry."""
        # Here, in the replica's process: a driver needs neither torch nor Kafka nor RocksDB.
        import torch  # noqa: PLC0415 - heavy, and only of use there

        from everfresh.adapters.observe.logs import configure_logging  # noqa: PLC0415 - as above
        from everfresh.serving.wiring import WiredReplica  # noqa: PLC0415 - as above

        take_variables(traces)
        self._settings = load_settings(dict(settings))
        torch.set_num_threads(self._settings.serving.threads)
        context = serve.get_replica_context()
        configure_logging(f"replica-{context.rank.rank}", self._settings.home)
        if late := os.nice(0):
            _LOG.warning(
                "Ray runs its processes at niceness %d, and so this replica: on a busy machine it "
                "waits behind all others; start Ray with RAY_worker_niceness=0",
                late,
            )
        self._load = LoopLoad()
        self._wired = WiredReplica(f"replica-{context.replica_id.unique_id}", self._settings)
        self._wired.replica.start()
        while not self._wired.may_join():
            time.sleep(_LOOK_S)
        _answer_promptly()

    def __serve_build_asgi_app__(self) -> Any:
        """Called by Ray, once, after the constructor and before the doors are open."""
        # The whole way counts and times each request for Ray's metrics.
        if not self._settings.ray.metrics:
            short_path.shorten_requests()
        return self._wired.http

    async def receive(self, files: Mapping[str, Any], track: str) -> None:
        """Called by ``deployment.broadcast``, with buffers in the shared object store."""
        views = {sha256: memoryview(data) for sha256, data in files.items()}
        self._wired.replica.receive(views, track)

    # Ray calls these by the names of the service's methods (``serving/rpc/recommender.proto``).

    async def Recommend(self, request: Any, grpc_context: Any) -> Any:  # noqa: N802 - as above
        """See the service."""
        return await self._wired.rpc.recommend(request, grpc_context)

    async def Score(self, request: Any, grpc_context: Any) -> Any:  # noqa: N802 - as above
        """See the service."""
        return await self._wired.rpc.score(request, grpc_context)

    async def Similar(self, request: Any, grpc_context: Any) -> Any:  # noqa: N802 - as above
        """See the service."""
        return await self._wired.rpc.similar(request, grpc_context)

    async def Version(self, request: Any, grpc_context: Any) -> Any:  # noqa: N802 - as above
        """See the service."""
        return await self._wired.rpc.version(request, grpc_context)

    async def record_autoscaling_stats(self) -> dict[str, float]:
        """Called by Ray on the loop that answers requests, where ``serving.replicas`` is a range;
        read by :func:`everfresh.serving.ray.scaling_policy.follow_load`."""
        return {"busy": self._load.share()}

    async def check_health(self) -> None:
        """Called by Ray on the loop that answers requests; an error has the replica replaced."""
        complaint = self._wired.replica.complaint()
        if complaint is not None:
            raise RuntimeError(complaint)

    def __del__(self) -> None:
        wired = getattr(self, "_wired", None)
        if wired is not None:
            wired.close()


def _answer_promptly() -> None:
    """Make the interpreter's own pauses short, for requests share it with the follower."""
    sys.setswitchinterval(_SWITCH_S)
    # What is there now stays: looking through it for cycles would stop all threads.
    gc.collect()
    gc.freeze()
