"""Fixtures for every suite: one real broker per session, settings that touch nothing of yours."""

from __future__ import annotations

import os
import uuid
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from everfresh.contracts.settings import FILE_VARIABLE, Settings, load_settings

with warnings.catch_warnings():
    # kafka-python 3.0 loads its message schemas by a call that Python 3.11 deprecates. Warnings
    # are errors here, so it is imported for the first time where this one does not count.
    warnings.simplefilter("ignore", DeprecationWarning)
    from everfresh.infra.broker.broker import EmbeddedBroker


def pytest_configure(config: pytest.Config) -> None:
    settings.register_profile("everfresh", deadline=None)  # other load is no failure
    settings.load_profile("everfresh")
    # kafka-python 3.0 leaves the socket of a refused connection to the garbage collector, which
    # may come in any later test or after the last. It is bound to no address; ours are.
    message = r"Exception ignored in. <socket\.socket .* laddr=\('0\.0\.0\.0'"
    category = pytest.PytestUnraisableExceptionWarning
    config.addinivalue_line("filterwarnings", f"ignore:{message}:pytest.{category.__name__}")
    warnings.filterwarnings("ignore", message, category)


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker(tmp_path_factory.mktemp("kafka"), heap_mb=256) as broker:
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
