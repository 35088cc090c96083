"""Settings of a small network, and one thread for all."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from everfresh.contracts.settings import Settings, load_settings
from tests.trainer.bench import SMALL


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Bit-equality holds for one thread count; the tests take one."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def small_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A network that trains in milliseconds."""
    monkeypatch.chdir(tmp_path)
    return load_settings({"home": str(tmp_path), **SMALL})
