"""Patches of other projects' private parts: they were read in the releases that are installed."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
from pathlib import Path

import pytest

from everfresh.serving.ray import process_hook, ray_patches, uvicorn_patch

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("project", "read_in", "file"),
    [
        ("ray", ray_patches.RAY_VERSION, "serving/ray/ray_patches.py (and ownership.py)"),
        ("uvicorn", uvicorn_patch.UVICORN_VERSION, "serving/ray/uvicorn_patch.py"),
    ],
)
def test_the_installed_release_is_the_one_whose_private_parts_were_read(
    project: str, read_in: str, file: str
) -> None:
    installed = importlib.metadata.version(project)
    assert installed == read_in, (
        f"{project} {installed} is installed and {file} was read in {read_in}: read the private "
        "parts that it names again, then move its constant"
    )


# In a process of its own: Ray Serve warns as it is loaded, and what is patched stays patched.
SCRIPT = """
import inspect, sys
import ray
from ray.serve._private import constants, default_impl, grpc_util, haproxy
from everfresh.serving.ray import ownership, ray_patches

named = {"name": constants.SERVE_CONTROLLER_NAME, "namespace": constants.SERVE_NAMESPACE}
assert named == ownership.CONTROLLER

class Server:
    def add_insecure_port(self, address):
        print(address)
        return 1234

ray.util.get_node_ip_address = lambda: "10.1.2.3"
before = "ray.serve._private.replica" in sys.modules
ray_patches.bind_grpc_to_loopback()
assert ("ray.serve._private.replica" in sys.modules) == before, "only a replica has its code"
from ray.serve._private import replica
for _ in range(2):  # Ray may call the hook twice in a process
    ray_patches.bind_grpc_to_loopback()
assert "get_localhost_ip() if target.ip ==" in inspect.getsource(haproxy), "what HAProxy dials"
assert "import add_grpc_address" in inspect.getsource(grpc_util.start_grpc_server)
assert "add_port_to_grpc_server(self._server" in inspect.getsource(replica)
default_impl.add_grpc_address(Server(), "[::]:9000")
assert replica.add_port_to_grpc_server(Server(), "[::]:0") == 1234
"""


@pytest.mark.process
def test_every_grpc_server_behind_haproxy_is_bound_to_what_haproxy_dials() -> None:
    command = [sys.executable, "-c", SCRIPT]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["127.0.0.1:9000", "127.0.0.1:0"]


BOUNDED = """
import os
from ray.serve._private import grpc_util
from everfresh.serving.ray import ray_patches

os.environ[ray_patches.MESSAGE_BYTES] = "1000"
before = dict(grpc_util.DEFAULT_GRPC_SERVER_OPTIONS)
for _ in range(2):  # Ray may call the hook twice in a process
    ray_patches.bound_grpc_servers()
after = dict(grpc_util.DEFAULT_GRPC_SERVER_OPTIONS)
assert len(after) == len(grpc_util.DEFAULT_GRPC_SERVER_OPTIONS), "each option once"
assert after["grpc.max_receive_message_length"] == 1000
assert after["grpc.max_send_message_length"] == before["grpc.max_send_message_length"] > 2**30
ends = ["server_handshake_timeout", "max_connection_idle", "max_connection_age"]
assert all(0 < after[f"grpc.{end}_ms"] <= 600_000 for end in ends)
"""


@pytest.mark.process
def test_grpc_servers_take_no_longer_message_and_keep_no_connection_without_end() -> None:
    command = [sys.executable, "-c", BOUNDED]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


SHARED = """
import asyncio
from ray.serve._private import grpc_util
from everfresh.serving.ray import ray_patches

def server():
    # As start_grpc_server makes it: the values are texts.
    return grpc_util.gRPCGenericServer(None, extra_options=[("grpc.so_reuseport", "0")])

async def take_twice():
    first, second = server(), server()
    port = first.add_insecure_port("127.0.0.1:0")
    try:
        second.add_insecure_port(f"127.0.0.1:{port}")
    except RuntimeError as refused:
        print("refused", end=" ")
    else:
        print("shared", end=" ")
    await first.stop(0)

asyncio.run(take_twice())
for _ in range(2):  # Ray may call the hook twice in a process
    ray_patches.share_no_port()
asyncio.run(take_twice())
"""


@pytest.mark.process
def test_no_two_grpc_servers_share_a_port() -> None:
    """Without the patch they do: that is what it is for."""
    command = [sys.executable, "-c", SHARED]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["shared", "refused"], done.stderr


def test_the_hook_installs_all_and_adds_no_middleware(monkeypatch: pytest.MonkeyPatch) -> None:
    installed: list[str] = []
    monkeypatch.setattr(ray_patches, "bind_grpc_to_loopback", lambda: installed.append("ray"))
    monkeypatch.setattr(ray_patches, "bound_grpc_servers", lambda: installed.append("grpc"))
    monkeypatch.setattr(ray_patches, "share_no_port", lambda: installed.append("ports"))
    monkeypatch.setattr(
        uvicorn_patch, "install_atomic_response", lambda: installed.append("uvicorn")
    )
    assert process_hook.install_patches() == []
    assert installed == ["ray", "grpc", "ports", "uvicorn"]
