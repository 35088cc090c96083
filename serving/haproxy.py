"""How Ray Serve's HAProxy is held to the address that was asked for. Names no framework.

Ray Serve 2.60 binds the front door to its HTTP host, but HAProxy's metrics and statistics ports to
every interface, at fixed numbers, and there is no setting for their address. What Ray does let one
set is the HAProxy program it runs. So it is given a launcher of a few lines that writes the
address into those two sections of the configuration, which Ray has just written, and then becomes
HAProxy: the same process id, the same arguments, Ray's own reloads and all.

Everything goes to Ray in environment variables, which Serve's processes read when they start.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

HOOK = "serving.opening:prepare"
"""Called in each of Serve's processes before its doors open."""

ANYWHERE = ("0.0.0.0", "::")
"""Hosts that mean every interface; with these the operator has chosen to be seen."""

EXTRA_PORTS = 4
"""Ports that Serve needs beside the doors: statistics, metrics, and two of its fallback proxy."""

LONGEST_FOLDER = 25
"""Characters of a folder for sockets: the kernel allows a path 107, and Ray and HAProxy add 80."""

_SOCKET_FILES = {
    "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": "haproxy.cfg",
    "RAY_SERVE_HAPROXY_SOCKET_PATH": "admin.sock",
    "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": "metrics.sock",
    "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": "server-state",
}

_LAUNCHER = r"""#!/bin/sh
# Written by everfresh; see serving/haproxy.py for why.
for word in "$@"; do
    [ "$previous" = "-f" ] && config="$word"
    previous="$word"
done
sed -i -E '/^(frontend prometheus|listen stats)/,/^ *bind /s/^( *bind )\*?:/\1{host}:/' "$config"
exec {program} "$@"
"""


def write_launcher(path: Path, host: str, program: str) -> Path:
    """Write the launcher that holds ``program``, the true HAProxy, to ``host``; return its path."""
    bracketed = f"[{host}]" if ":" in host else host
    path.parent.mkdir(parents=True, exist_ok=True)
    text = _LAUNCHER.replace("{host}", bracketed).replace("{program}", shlex.quote(program))
    path.write_text(text)
    path.chmod(0o700)
    return path


def environment(folder: Path, ports: Sequence[int], launcher: Path | None) -> dict[str, str]:
    """Variables for the driver and, through Ray, for Serve's controller, proxies and replicas.

    ``folder`` takes HAProxy's sockets: at most :data:`LONGEST_FOLDER` characters long, and closed
    to others, because the admin socket is open to whoever reaches it. ``ports`` are
    :data:`EXTRA_PORTS` free ones. ``launcher`` is ``None`` where HAProxy may bind every interface.
    """
    statistics, metrics, fallback, fallback_grpc = (str(port) for port in ports)
    chosen = {} if launcher is None else {"RAY_SERVE_HAPROXY_BINARY_PATH": str(launcher)}
    # Where HAProxy may be seen, the servers behind it still need not be.
    return {
        "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": HOOK,
        "RAY_SERVE_ENABLE_HA_PROXY": "1",
        "RAY_SERVE_HAPROXY_NBTHREAD": "1",
        # On a busy machine HAProxy takes longer to start than Ray's 5 s, and would be killed.
        "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "120",
        # Answers are made on the loop that reads requests: two changes of thread less for each.
        "RAY_SERVE_RUN_USER_CODE_IN_SEPARATE_THREAD": "0",
        "RAY_SERVE_HAPROXY_STATS_PORT": statistics,
        "RAY_SERVE_HAPROXY_METRICS_PORT": metrics,
        "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": fallback,
        "RAY_SERVE_FALLBACK_PROXY_GRPC_PORT": fallback_grpc,
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(folder),
        # HAProxy asks another replica where one refuses, so a leaving one need not linger for 30 s.
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "1",
        # A request whose replica was killed is asked again of another: answers change nothing.
        "RAY_SERVE_HAPROXY_RETRY_ON": "conn-failure empty-response",
        **{name: str(folder / file) for name, file in _SOCKET_FILES.items()},
        **chosen,
    }
