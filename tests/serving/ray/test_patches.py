"""Patches of other projects' private parts: they were read in the releases that are installed."""

from __future__ import annotations

import importlib.metadata
import inspect
import sys
from typing import Any

import pytest

from everfresh.serving.ray import process_hook, ray_patches, uvicorn_patch


@pytest.mark.parametrize(
    ("project", "read_in", "file"),
    [
        ("ray", ray_patches.RAY_VERSION, "serving/ray/ray_patches.py"),
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


class Server:
    """Of Ray's gRPC servers, what the patches ask."""

    def __init__(self) -> None:
        self.bound: list[str] = []

    def add_insecure_port(self, address: str) -> int:
        self.bound.append(address)
        return 1234


def test_each_grpc_server_is_bound_to_the_nodes_own_address(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from ray._common import tls_utils  # noqa: PLC0415 - as the patches, which are late
    from ray.serve._private import default_impl, grpc_util, replica  # noqa: PLC0415 - as above

    # Put back afterwards: what is patched here is this process's own.
    monkeypatch.setattr(default_impl, "add_grpc_address", default_impl.add_grpc_address)
    monkeypatch.setattr(replica, "add_port_to_grpc_server", tls_utils.add_port_to_grpc_server)
    monkeypatch.setattr("ray.util.get_node_ip_address", lambda: "10.1.2.3")
    assert "add_grpc_address(server" in inspect.getsource(grpc_util), "looked up at each call"
    server: Any = Server()
    for _ in range(2):  # Ray may call the hook twice in a process
        ray_patches.install()
    default_impl.add_grpc_address(server, "[::]:9000")
    assert replica.add_port_to_grpc_server(server, "[::]:0") == 1234
    assert server.bound == ["10.1.2.3:9000", "10.1.2.3:0"]


def test_a_process_without_a_replica_does_not_load_ones_code(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from ray.serve._private import default_impl  # noqa: PLC0415 - as above

    monkeypatch.setattr(default_impl, "add_grpc_address", default_impl.add_grpc_address)
    monkeypatch.setattr("ray.util.get_node_ip_address", lambda: "10.1.2.3")
    monkeypatch.delitem(sys.modules, "ray.serve._private.replica", raising=False)
    ray_patches.install()
    assert "ray.serve._private.replica" not in sys.modules


def test_the_hook_installs_both_and_adds_no_middleware(monkeypatch: pytest.MonkeyPatch) -> None:
    installed: list[str] = []
    monkeypatch.setattr(ray_patches, "install", lambda: installed.append("ray"))
    monkeypatch.setattr(uvicorn_patch, "install", lambda: installed.append("uvicorn"))
    assert process_hook.install_patches() == []
    assert installed == ["ray", "uvicorn"]
