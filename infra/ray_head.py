"""A local Ray head as a child process, on loopback, with its own ports, token and folder.

Ray's own command starts it; nothing here imports ray.
"""

from __future__ import annotations

import os
import secrets
import shutil
import sys
from pathlib import Path

import msgspec

from everfresh.adapters.machine.disk import naming, require_space
from everfresh.adapters.machine.socket_folder import socket_root, socket_roots
from everfresh.adapters.machine.tcp_ports import free_ports
from everfresh.contracts.settings import RaySettings
from everfresh.infra import ray_start_hook
from everfresh.infra.components import RAY
from everfresh.infra.processes.processes import ChildSpec

_HOST = "127.0.0.1"
READY_LINE = "Ray runtime started."
"""``ray start`` writes this line when drivers can connect."""
_BENEATH = len("//ray/session_2026-01-31_12-00-00_123456_4194304/sockets/plasma_store")
"""Bytes of the path of Ray's longest socket, above and below the folder of a run."""
_AGENT_PORTS = (
    "--dashboard-agent-listen-port",
    "--dashboard-agent-grpc-port",
    "--metrics-export-port",
    "--runtime-env-agent-port",
)
"""Ray's node waits 15 s at most for those that are left open, and then ends: too little on a busy
machine (``ray_start_hook``)."""
_LEAST_CPUS = 4  # slots for actors, not processors: trainer, replicas and Serve's actors must fit


class RayHead(msgspec.Struct, frozen=True):
    """How to start the head, its address, and the variables that its drivers need."""

    spec: ChildSpec
    address: str
    driver_environment: dict[str, str]


def prepare_head(run_id: str, settings: RaySettings) -> RayHead:
    """A head for this run. Creates its temporary folder, with a token that only the owner reads."""
    folder = temporary_folder(run_id)
    folder.mkdir(mode=0o700)
    require_space(folder, "the folder of Ray's temporary files (TMPDIR)")
    token = folder / "token"
    token.touch(mode=0o600)
    with naming(token):
        token.write_text(secrets.token_hex(32))
    gcs, client, *agents = free_ports(2 + len(_AGENT_PORTS))
    options: dict[str, str | int | Path] = {
        "--node-ip-address": _HOST,
        "--port": gcs,
        "--ray-client-server-port": client,
        **dict(zip(_AGENT_PORTS, agents, strict=True)),
        "--min-worker-port": 0,
        "--max-worker-port": 0,
        "--num-cpus": max(_LEAST_CPUS, os.cpu_count() or 1),
        "--object-store-memory": settings.object_store_mb * 1024 * 1024,
        "--include-dashboard": "false",
        "--include-log-monitor": "false",
        "--temp-dir": folder / "ray",
        "--log-style": "record",
        "--log-color": "false",
    }
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block"]
    arguments = [f"{name}={value}" for name, value in options.items()]
    driver_environment = _driver_environment(token)
    env = {
        **driver_environment,
        **_head_environment(),
        "TMPDIR": str(_scratch(folder)),
    }
    # With metrics, Ray's agent handles every observation one by one, in Python.
    env["RAY_enable_metrics_collection"] = "1" if settings.metrics else "0"
    argv = [*command, "--no-monitor", "--disable-usage-stats", *arguments]
    return RayHead(ChildSpec(RAY, argv, env, grace_s=4.0), f"{_HOST}:{gcs}", driver_environment)


def temporary_folder(run_id: str) -> Path:
    """Ray's own folder. It holds Unix sockets, so it does not lie in the home, whose path may be
    long. ``SettingsError`` where no folder is short enough."""
    return socket_root(len(_folder_name(run_id)) + _BENEATH) / _folder_name(run_id)


def remove_temporary_folder(run_id: str) -> None:
    """Remove the folder, after the head has ended; it was perhaps made under another ``TMPDIR``."""
    for root in socket_roots():
        shutil.rmtree(root / _folder_name(run_id), ignore_errors=True)


def forget_other_clusters() -> None:
    """Remove all ``RAY_…`` variables of this process, before a Ray of our own is started: they tell
    of somebody else's, its address, its token, its certificates."""
    for name in [name for name in os.environ if name.startswith("RAY_")]:
        del os.environ[name]


def _folder_name(run_id: str) -> str:
    return f"everfresh-{run_id[:12]}"


def _scratch(folder: Path) -> Path:
    """Temporary folder of all processes inside this Ray; a kill leaves nothing elsewhere."""
    scratch = folder / "tmp"
    scratch.mkdir()
    return scratch


def _driver_environment(token: Path) -> dict[str, str]:
    return {
        # Despite its name it means "a cluster of one machine". Otherwise Ray replaces a loopback
        # address by the machine's outside one and listens on every interface.
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(token),
        "RAY_USAGE_STATS_ENABLED": "0",
    }


def _head_environment() -> dict[str, str]:
    binaries = str(Path(sys.executable).parent)
    return {
        "PATH": os.pathsep.join([binaries, os.environ.get("PATH", os.defpath)]),
        # Serve's detached actors would otherwise delay a stop by half a minute.
        "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "0",
        # Ray's workers run at niceness 15 otherwise, behind every other process.
        "RAY_worker_niceness": "0",
        # As long as a start may take on a busy machine; 30 s otherwise, then the node ends.
        "RAY_agent_register_timeout_ms": "600000",
        # Idle workers started in advance cost 70 MB each.
        "RAY_prestart_worker_first_driver": "0",
        # Else a process of Ray's asks hosts on the internet as it starts, statistics or not.
        "RAY_START_HOOK": ray_start_hook.NAME,
        "OMP_NUM_THREADS": "1",
    }
