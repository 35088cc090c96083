"""Rules and fixtures for every suite: one real broker per pytest-xdist worker, settings that touch
nothing of yours, one thread for torch, and a marker on each test that starts a process."""

from __future__ import annotations

import contextlib
import os
import sys
import uuid
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from hypothesis import HealthCheck, settings
from xdist.remote import Producer

from everfresh.contracts.settings import FILE_VARIABLE, Settings, load_settings
from everfresh.infra.processes import processes
from tests import processes_started
from tests.scheduling import MixedScheduling

with warnings.catch_warnings():
    # kafka-python 3.0 loads its message schemas by a call that Python 3.11 deprecates. Warnings
    # are errors here, so it is imported for the first time where this one does not count.
    warnings.simplefilter("ignore", DeprecationWarning)
    from everfresh.infra.broker.broker import EmbeddedBroker


def pytest_configure(config: pytest.Config) -> None:
    # A busy machine is no failure: neither a slow example nor slowly made data.
    slow = [HealthCheck.too_slow]
    settings.register_profile("everfresh", deadline=None, suppress_health_check=slow)
    settings.load_profile("everfresh")
    # The socket of a refused connection is bound to no address; ours are.
    _leave_to_collector(config, r"laddr=\('0\.0\.0\.0'")
    config.pluginmanager.register(processes_started)


def _leave_to_collector(config: pytest.Config, socket: str) -> None:
    """kafka-python 3.0 leaves sockets of connections that were refused, or that were being opened
    as their client was closed, to the garbage collector. It may come in any later test, or after
    the last."""
    message = rf"Exception ignored in. <socket\.socket .* {socket}"
    category = pytest.PytestUnraisableExceptionWarning
    config.addinivalue_line("filterwarnings", f"ignore:{message}:pytest.{category.__name__}")
    warnings.filterwarnings("ignore", message, category)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> MixedScheduling:
    return MixedScheduling(config, log)


def pytest_collection_finish() -> None:
    # Several workers share the cores. More threads would wait for each other in busy loops.
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


SHARED: set[int] = set()
"""Processes that tests of several files share."""


@pytest.fixture(autouse=True, scope="session")
def shared_processes_are_spared() -> Iterator[None]:
    """A command that is called within a test ends all processes below it, as one run by itself
    does. Those that other tests are to use must not be among them."""

    def end_the_rest(until: float) -> list[str]:
        del until
        for process in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                if not SHARED & {process.pid, *(parent.pid for parent in process.parents())}:
                    process.kill()
        return []

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(processes, "end_descendants", end_the_rest)
        yield


@pytest.fixture(autouse=True)
def usual_umask() -> Iterator[None]:
    """A part that closes its home does so for its whole process, which here is every test's."""
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.fixture(scope="session")
def kafka(
    tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config
) -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker(tmp_path_factory.mktemp("kafka"), heap_mb=256) as broker:
        SHARED.add(broker.pid)
        port = broker.bootstrap_servers.rpartition(":")[2]
        _leave_to_collector(pytestconfig, rf"raddr=\('127\.0\.0\.1', {port}\)")
        yield broker


@pytest.fixture
def topic_prefix() -> str:
    return f"t{uuid.uuid4().hex[:8]}."


@pytest.fixture
def make_settings(
    tmp_path: Path, topic_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Settings]:
    """``make_settings(kafka={"partitions": 2}, ...)``: own home, own topics, no outer settings."""
    for name in os.environ:
        if name.startswith("EVERFRESH_"):
            monkeypatch.delenv(name)
    empty = tmp_path / "everfresh.toml"
    empty.touch()
    monkeypatch.setenv(FILE_VARIABLE, str(empty))

    def make(**groups: Any) -> Settings:
        groups.setdefault("home", tmp_path / "home")
        groups["kafka"] = {"topic_prefix": topic_prefix, **groups.get("kafka", {})}
        return load_settings(groups)

    return make
