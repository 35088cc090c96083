"""The local Ray head: its metrics, its token and its temporary folder."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
import uuid
from pathlib import Path
from types import SimpleNamespace

import pytest

from everfresh.contracts.settings import RaySettings, Settings
from everfresh.infra import ray_head, ray_start_hook


@pytest.mark.parametrize("metrics", [True, False])
def test_ray_keeps_metrics_of_its_own_only_where_told(metrics: bool) -> None:
    run_id = uuid.uuid4().hex
    try:
        head = ray_head.prepare_head(run_id, RaySettings(metrics=metrics))
        assert head.spec.env["RAY_enable_metrics_collection"] == str(int(metrics))
    finally:
        ray_head.remove_temporary_folder(run_id)


def test_rays_sockets_have_short_paths_wherever_temporary_files_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = tmp_path / "slurm_jobdir" / "1355700" / "tmp"
    deep.mkdir(parents=True)
    monkeypatch.setenv("TMPDIR", str(deep))
    run_id = uuid.uuid4().hex
    try:
        ray_head.prepare_head(run_id, RaySettings())
        folder = ray_head.temporary_folder(run_id)
        assert folder.is_dir()
        session = "session_2026-01-31_12-00-00_123456_4194304"
        assert len(str(folder / "ray" / session / "sockets" / "plasma_store")) <= 107
    finally:
        monkeypatch.delenv("TMPDIR")  # as at the start of the next run
        ray_head.remove_temporary_folder(run_id)
    assert not folder.exists()


def test_a_ray_of_our_own_hears_nothing_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("RAY_"):
            monkeypatch.delenv(name)
    for name in ("RAY_ADDRESS", "RAY_AUTH_TOKEN", "RAY_USE_TLS"):
        monkeypatch.setenv(name, "theirs")
    ray_head.forget_other_clusters()
    assert not [name for name in os.environ if name.startswith("RAY_")]


def test_the_installed_ray_is_the_one_whose_start_was_read() -> None:
    installed = importlib.metadata.version("ray")
    assert installed == ray_start_hook.RAY_VERSION, (
        f"ray {installed} is installed and infra/ray_start_hook.py was read in "
        f"{ray_start_hook.RAY_VERSION}: read the private parts that it names again, then move its "
        "constant"
    )


# In a process of its own: what is patched stays patched.
STARTS = """
import inspect, pathlib, tempfile
from ray._common.utils import load_class
from ray._private import ray_constants, services
from ray._private.node import Node
from everfresh.infra import ray_start_hook
assert "self.start_api_server(" in inspect.getsource(Node.start_head_processes)
load_class(ray_start_hook.NAME)(None, True)
kept = []
class Started:
    def get_gcs_client(self):
        return self
    def internal_kv_put(self, *words):
        kept.append(words)
Node.start_api_server(Started(), include_dashboard=False, raise_on_failure=False)
assert "ray._private.services.get_node(" in inspect.getsource(Node.__init__)
assert services.get_node.__module__ == ray_start_hook.__name__
assert "self.start_ray_processes()" in inspect.getsource(Node.__init__)
assert Node.start_ray_processes.__module__ == ray_start_hook.__name__
assert Node.dead_processes
assert Node.dashboard_agent_listen_port
with tempfile.TemporaryDirectory() as session:
    class Starting:
        dashboard_agent_listen_port, _node_id = 7, "ab" * 28
        def get_session_dir_path(self):
            return session
    try:
        Node.start_ray_processes(Starting())
    except AttributeError:
        pass  # that is Ray's own part
    [file] = pathlib.Path(session).rglob("dashboard_agent_listen_port*")
    assert file.read_text() == "7"
assert kept == [(b"dashboard", b"127.0.0.1:0", True, ray_constants.KV_NAMESPACE_DASHBOARD)], kept
"""


@pytest.mark.process
def test_our_ray_starts_nothing_that_asks_the_internet() -> None:
    run_id = uuid.uuid4().hex
    try:
        head = ray_head.prepare_head(run_id, RaySettings())
        assert head.spec.env["RAY_START_HOOK"] == ray_start_hook.NAME
        assert head.driver_environment["RAY_USAGE_STATS_ENABLED"] == "0"
    finally:
        ray_head.remove_temporary_folder(run_id)
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, "-c", STARTS], capture_output=True, text=True, env=env, check=False
    )
    assert done.returncode == 0, done.stderr


def test_a_node_that_comes_up_late_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr(
        ray_start_hook, "time", SimpleNamespace(monotonic=lambda: sum(slept), sleep=slept.append)
    )

    def get_node(address: str, node: str) -> str:
        if sum(slept) < late_s:
            raise RuntimeError
        return f"{node} of {address}"

    late_s = 300.0
    assert ray_start_hook.patient(get_node, list)("gcs", "one") == "one of gcs"
    slept.clear()
    late_s = 1e9
    with pytest.raises(RuntimeError):
        ray_start_hook.patient(get_node, list)("gcs", "one")


def test_a_node_whose_processes_ended_is_not_waited_for() -> None:
    def get_node() -> None:
        raise RuntimeError

    with pytest.raises(SystemExit, match="raylet ended while Ray was starting"):
        ray_start_hook.patient(get_node, lambda: ["raylet"])()


def test_rays_token_is_its_owners_alone() -> None:
    run_id = uuid.uuid4().hex
    try:
        head = ray_head.prepare_head(run_id, Settings().ray)
        token = Path(head.driver_environment["RAY_AUTH_TOKEN_PATH"])
        assert token.stat().st_mode & 0o077 == 0
        assert token.parent.stat().st_mode & 0o077 == 0
        assert len(token.read_text()) >= 32
        assert head.address.startswith("127.0.0.1:")
        assert token.read_text() not in " ".join(head.spec.argv)
        # What its processes leave lying goes with the folder.
        assert Path(head.spec.env["TMPDIR"]).parent == token.parent
    finally:
        ray_head.remove_temporary_folder(run_id)
    assert not ray_head.temporary_folder(run_id).exists()
