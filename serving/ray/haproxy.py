"""What Ray Serve's HAProxy is told beyond Ray's settings for it. Names no framework.

Ray Serve 2.60 binds the front door to the host of the HTTP servers behind it, which stay on
loopback, and HAProxy's metrics and statistics ports to every interface. There is no setting for
either. Nor is there one for what :mod:`everfresh.serving.ray.door_rules` says of connections and
requests. What Ray does let one set is the HAProxy program it runs. So it is given a launcher of a
few lines that writes all this into the configuration, which Ray has just written, and then becomes
HAProxy: the same process id, the same arguments, Ray's own reloads and all.

Everything goes to Ray in environment variables, which Serve's processes read when they start.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Sequence
from pathlib import Path

from everfresh.adapters.machine.tcp_ports import bracketed
from everfresh.serving.ray import door_rules, ray_patches

HOOK = "everfresh.serving.ray.process_hook:install_patches"
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

BESIDE_BODY = 2 * door_rules.LONGEST_HEAD + 16_384
"""Bytes of HAProxy's buffers beyond the longest body: a request's head, or a small answer."""

_ALWAYS = {
    # Where HAProxy may be seen, the servers behind it still need not be.
    "RAY_SERVE_USE_GRPC_BY_DEFAULT": "0",
    "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": HOOK,
    "RAY_SERVE_ENABLE_HA_PROXY": "1",
    "RAY_SERVE_HAPROXY_NBTHREAD": "1",
    # On a busy machine HAProxy takes longer to start than Ray's 5 s, and would be killed.
    "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "120",
    # Answers are made on the loop that reads requests: two changes of thread less for each.
    "RAY_SERVE_RUN_USER_CODE_IN_SEPARATE_THREAD": "0",
    # HAProxy asks another replica where one refuses, so a leaving one need not linger for 30 s.
    "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "1",
    # A request whose replica was killed is asked again of another: answers change nothing.
    "RAY_SERVE_HAPROXY_RETRY_ON": "conn-failure empty-response",
}
"""Variables that no setting changes."""

_LAUNCHER = r"""#!/bin/sh
# Written by everfresh; see serving/ray/haproxy.py for why.
for word in "$@"; do
    [ "$previous" = "-f" ] && config="$word"
    previous="$word"
done
{ours}exec {program} "$@"
"""

_ONCE = r"""grep -q everfresh_successor "$config" || sed -i -E \
    -e '/^ *errorfile 50[234] /d' \
    -e '/^defaults/r '{defaults} \
    -e '/^frontend http_frontend/,/^ *bind /{/^ *bind /r '{frontend} -e '}' \
    -e '/^frontend grpc_frontend/,/^ *bind /{/^ *bind /r '{grpc} -e '}' \
    -e '/^ *# Static routing /r '{route} \
    -e '/^ *# Route per-app /r '{grpc_route} \
    -e '/^ *option tcp-check/r '{grpc_errors} \
    -e '$r '{backends} "$config"
"""

_ADDRESS = r"""sed -i -E \
    -e '/^(frontend prometheus|listen stats)/,/^ *bind /s/^( *bind )\*?:/\1127.0.0.1:/' \
    -e '/^frontend (http|grpc)_frontend/,/^ *bind /s/^( *bind )\S+:([0-9]+)/\1{host}:\2/' "$config"
"""


def write_launcher(
    path: Path,
    host: str,
    program: str,
    timeout_ms: int,
    body_bytes: int,
    *,
    metrics: bool = False,
) -> Path:
    """Write the launcher of ``program``, the true HAProxy; return its path.

    It offers the doors at ``host`` and the rest on loopback, by the rules of
    :mod:`everfresh.serving.ray.door_rules`. Without ``metrics``, Ray's own, it writes no line for
    a request that went well.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    ours = _ONCE
    for name, text in door_rules.sections(path, timeout_ms, body_bytes, metrics=metrics).items():
        file = path.with_suffix(f".{name}")
        file.write_text(text)
        ours = ours.replace(f"{{{name}}}", shlex.quote(str(file)))
    ours += _ADDRESS.replace("{host}", bracketed(host))
    text = _LAUNCHER.replace("{ours}", ours).replace("{program}", shlex.quote(program))
    path.write_text(text)
    path.chmod(0o700)
    return path


def environment(
    folder: Path,
    ports: Sequence[int],
    launcher: Path,
    body_bytes: int,
    timeout_ms: int,
    *,
    metrics: bool = False,
) -> dict[str, str]:
    """Variables for the driver and, through Ray, for Serve's controller, proxies and replicas.

    ``folder`` takes HAProxy's sockets: at most :data:`LONGEST_FOLDER` characters long, and closed
    to others, because the admin socket is open to whoever reaches it. ``ports`` are
    :data:`EXTRA_PORTS` free ones. HAProxy's buffers take bodies of ``body_bytes`` whole, and it
    gives up on an answer after twice ``timeout_ms``, in which a replica has answered or refused.
    ``metrics`` are Serve's own of each request, which one of its processes reads from a log.
    """
    statistics, figures, fallback, fallback_grpc = (str(port) for port in ports)
    return {
        "RAY_SERVE_HAPROXY_BINARY_PATH": str(launcher),
        ray_patches.MESSAGE_BYTES: str(body_bytes),
        "RAY_SERVE_HAPROXY_TUNE_BUFSIZE": str(body_bytes + BESIDE_BODY),
        # Else requests wait without end while no replica is there: Serve's own proxy takes them.
        "RAY_SERVE_HAPROXY_TIMEOUT_SERVER_S": str(math.ceil(2 * timeout_ms / 1000)),
        # Of a client that neither sends nor takes: longer, as both count while a replica works.
        "RAY_SERVE_HAPROXY_TIMEOUT_CLIENT_S": str(math.ceil(5 * timeout_ms / 1000)),
        **_ALWAYS,
        "RAY_SERVE_HAPROXY_METRICS_ENABLED": "1" if metrics else "0",
        "RAY_SERVE_HAPROXY_STATS_PORT": statistics,
        "RAY_SERVE_HAPROXY_METRICS_PORT": figures,
        "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": fallback,
        "RAY_SERVE_FALLBACK_PROXY_GRPC_PORT": fallback_grpc,
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(folder),
        **{name: str(folder / file) for name, file in _SOCKET_FILES.items()},
    }
