"""Settings of a small network that trains in milliseconds, as values and as fixtures."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from everfresh.contracts.settings import Settings, load_settings

SMALL: dict[str, Any] = {
    "model": {
        "dim": 8,
        "blocks": 1,
        "heads": 1,
        "max_length": 16,
        "dropout": 0.1,
        "temperature": 0.05,
        "negatives": 8,
    },
    "trainer": {
        "learning_rate": 0.01,
        "epochs": 2,
        "batch_tokens": 64,
        "replay_examples": 6,
        "replay_ratio": 0.5,
    },
}


def with_strategy(settings: Settings, name: str, **changes: object) -> Settings:
    """With another strategy, and other changes to the trainer's settings."""
    tuning = settings.trainer.model_copy(update={"strategy": name, **changes})
    return settings.model_copy(update={"trainer": tuning})


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
