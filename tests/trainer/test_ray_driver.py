from __future__ import annotations

import socket
from types import SimpleNamespace
from typing import Any

import pytest

from everfresh.contracts.errors import SettingsError, Unreachable
from everfresh.contracts.settings import Settings, load_settings
from everfresh.trainer import ray_driver
from everfresh.trainer.run import TrainerPorts
from tests.trainer.small_settings import with_strategy


def no_ports(settings: Settings) -> TrainerPorts:
    raise AssertionError("the actor opens them, and none is made here")


@pytest.fixture(autouse=True)
def address(monkeypatch: pytest.MonkeyPatch) -> str:
    """An address at which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
    monkeypatch.setenv("RAY_ADDRESS", address)
    return address


HERE = "0" * 56
"""The id of this machine's node."""


class FakeRay:
    """A cluster with so many GPUs, and a node ``here`` that has as many unless told otherwise.

    Keeps what actors ask for.
    """

    def __init__(self, gpus: float, here: dict[str, float] | None = None) -> None:
        self._resources = {"CPU": 4.0, "GPU": gpus} if gpus else {"CPU": 4.0}
        self._here = self._resources if here is None else here
        self.options: list[dict[str, Any]] = []

    def cluster_resources(self) -> dict[str, float]:
        return self._resources

    def get_runtime_context(self) -> Any:
        return SimpleNamespace(get_node_id=lambda: HERE)

    def nodes(self) -> list[dict[str, Any]]:
        gone = {"NodeID": "gone", "Alive": False, "Labels": {"pool": "gone"}}
        there = {"NodeID": "there", "Alive": True, "Resources": self._resources}
        there["Labels"] = {"pool": "training", "zone": "a"}
        return [gone, there, {"NodeID": HERE, "Alive": True, "Resources": self._here}]

    def remote(self, cls: type) -> Any:
        ray = self

        class Remote:
            def options(self, **options: Any) -> Any:
                ray.options.append(options)
                return self

            def remote(self, *_: Any) -> None:
                pass

        return Remote()


@pytest.mark.parametrize(("device", "gpus"), [("cpu", 0.0), ("cuda", 1.0)])
def test_a_process_that_trains_on_a_gpu_asks_for_one_of_its_own(
    small_settings: Settings, monkeypatch: pytest.MonkeyPatch, device: str, gpus: float
) -> None:
    ray = FakeRay(gpus)
    monkeypatch.setattr(ray_driver, "ray", ray)
    settings = with_strategy(small_settings, "replay", device=device)
    ray_driver.TrainerDriver(settings, no_ports)
    assert [(asked["num_cpus"], asked["num_gpus"]) for asked in ray.options] == [(0.5, gpus)]


@pytest.mark.parametrize(("gpus", "workers"), [(0.0, 1), (1.0, 2), (3.0, 4)])
def test_a_cluster_with_too_few_gpus_is_refused_rather_than_waited_for(
    small_settings: Settings, monkeypatch: pytest.MonkeyPatch, gpus: float, workers: int
) -> None:
    ray = FakeRay(gpus)
    monkeypatch.setattr(ray_driver, "ray", ray)
    with pytest.raises(SettingsError, match=f"has {gpus:.0f} GPUs: one is needed for each"):
        ray_driver.TrainerDriver(
            with_strategy(small_settings, "replay", device="cuda", workers=workers), no_ports
        )
    assert ray.options == []


def test_the_trainer_runs_where_its_versions_are(
    small_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    ray = FakeRay(0.0)
    monkeypatch.setattr(ray_driver, "ray", ray)
    ray_driver.TrainerDriver(small_settings, no_ports)
    store = small_settings.weights.model_copy(update={"url": "s3://bucket/weights"})
    ray_driver.TrainerDriver(small_settings.model_copy(update={"weights": store}), no_ports)
    kept, free = (asked.get("scheduling_strategy") for asked in ray.options)
    assert (kept.node_id, kept.soft) == (HERE, False)
    assert free is None


def labelled(settings: Settings, *labels: str, url: str = "s3://bucket/weights") -> Settings:
    store = settings.weights.model_copy(update={"url": url})
    trainer = settings.trainer.model_copy(update={"node_labels": list(labels), "cpus": 2.0})
    return settings.model_copy(update={"weights": store, "trainer": trainer})


def test_processes_that_train_ask_for_the_labels_and_cpus_that_are_set(
    small_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    ray = FakeRay(0.0)
    monkeypatch.setattr(ray_driver, "ray", ray)
    ray_driver.TrainerDriver(labelled(small_settings, "pool=training", "zone=a"), no_ports)
    [asked] = ray.options
    assert asked["label_selector"] == {"pool": "training", "zone": "a"}
    assert asked["num_cpus"] == 2.0
    assert "scheduling_strategy" not in asked


@pytest.mark.parametrize(
    ("label", "url", "said"),
    [
        (
            "pool=gone",
            "s3://bucket/weights",
            "no node of this Ray cluster has the labels pool=gone",
        ),
        ("pool=training", "", "this machine's node has not the labels pool=training"),
    ],
)
def test_labels_that_no_node_has_are_refused_rather_than_waited_for(
    small_settings: Settings, monkeypatch: pytest.MonkeyPatch, label: str, url: str, said: str
) -> None:
    ray = FakeRay(0.0)
    monkeypatch.setattr(ray_driver, "ray", ray)
    with pytest.raises(SettingsError, match=said):
        ray_driver.TrainerDriver(labelled(small_settings, label, url=url), no_ports)
    assert ray.options == []


@pytest.mark.parametrize("label", ["pool", "=training", "pool="])
def test_what_is_no_label_is_refused_by_name(label: str) -> None:
    with pytest.raises(SettingsError, match=r"trainer\.node_labels: a label as NAME=VALUE"):
        load_settings({"trainer": {"node_labels": [label]}})


@pytest.mark.parametrize(
    ("device", "here", "said"),
    [("cpu", {}, "has 0 CPUs"), ("cuda", {"CPU": 4.0}, "has 0 GPUs")],
)
def test_a_node_without_room_for_the_trainer_is_refused_rather_than_waited_for(
    small_settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    device: str,
    here: dict[str, float],
    said: str,
) -> None:
    ray = FakeRay(1.0, here)
    monkeypatch.setattr(ray_driver, "ray", ray)
    with pytest.raises(SettingsError, match=f"this machine's node {said} .* object store"):
        ray_driver.TrainerDriver(with_strategy(small_settings, "replay", device=device), no_ports)
    assert ray.options == []


def test_a_ray_that_is_gone_ends_the_driver_even_if_it_may_come_back(
    small_settings: Settings, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setattr(ray_driver, "ray", FakeRay(0.0))
    driver = ray_driver.TrainerDriver(small_settings, no_ports)
    assert [driver.check(), driver.check()] == [None, None], "a look may fail by chance"
    with pytest.raises(Unreachable, match=f"Ray at {address} is gone"):
        driver.check()
    assert driver.stop() is None, "nobody is asked any more"
