"""The setting ``trainer.device``, as far as it goes without a GPU."""

from __future__ import annotations

import os

import pytest
import torch

from everfresh.contracts.errors import SettingsError
from everfresh.contracts.settings import Settings, load_settings
from everfresh.trainer.learning.device import prepare_device


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith("TORCH_NCCL")}
    monkeypatch.setattr(os, "environ", own)
    return own


def test_training_is_on_the_cpu_unless_set(small_settings: Settings) -> None:
    assert small_settings.trainer.device == "cpu"
    assert load_settings({"trainer": {"device": "cuda"}}).trainer.device == "cuda"
    with pytest.raises(SettingsError, match=r"trainer\.device: Input should be 'cpu' or 'cuda'"):
        load_settings({"trainer": {"device": "cuda:1"}})


def test_without_a_gpu_cuda_is_refused_with_what_to_do(no_gpu: None) -> None:
    prepare_device("cpu")
    with pytest.raises(SettingsError, match=r"or set trainer\.device to cpu") as caught:
        prepare_device("cuda")
    assert torch.__version__ in str(caught.value)
    assert not torch.are_deterministic_algorithms_enabled()


def test_on_a_gpu_algorithms_are_those_that_repeat_themselves(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]
) -> None:
    asked: list[bool] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch, "use_deterministic_algorithms", asked.append)
    environment.pop("CUBLAS_WORKSPACE_CONFIG", None)
    prepare_device("cpu")
    assert asked == []
    prepare_device("cuda")
    assert asked == [True]
    assert environment["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
