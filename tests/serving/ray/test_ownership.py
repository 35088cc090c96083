"""Whose Serve it is, over a cluster of two dictionaries: nothing that is another's is touched."""

from __future__ import annotations

from typing import Any

import pytest
import ray
from ray.experimental import internal_kv

from everfresh.contracts.errors import Unreachable
from everfresh.serving.ray import ownership
from everfresh.serving.ray.ownership import Owner

MINE, OTHER = Owner("/home/mine", "here"), Owner("/home/other", "here")
AWAY = Owner("/home/mine", "elsewhere")
ADDRESS = "10.9.8.7:6379"


class Cluster:
    """What Ray keeps of Serve: our entry, and the controller while Serve runs."""

    def __init__(self) -> None:
        self.entries: dict[tuple[str, str], bytes] = {}
        self.serve_runs = False

    def put(self, key: str, value: bytes, overwrite: bool = True, *, namespace: str) -> bool:
        existed = (namespace, key) in self.entries
        if overwrite or not existed:
            self.entries[namespace, key] = value
        return existed

    def get(self, key: str, *, namespace: str) -> bytes | None:
        return self.entries.get((namespace, key))

    def delete(self, key: str, *, namespace: str) -> None:
        del self.entries[namespace, key]

    def named_actors(self, all_namespaces: bool) -> list[dict[str, str]]:
        assert all_namespaces
        return [ownership.CONTROLLER] if self.serve_runs else []


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    made = Cluster()
    replaced: dict[str, Any] = {"put": made.put, "get": made.get, "del": made.delete}
    for name, stand_in in replaced.items():
        monkeypatch.setattr(internal_kv, f"_internal_kv_{name}", stand_in)
    monkeypatch.setattr(ray.util, "list_named_actors", made.named_actors)
    monkeypatch.setattr(ownership, "_STARTING_S", 0.0)
    return made


def test_a_serve_of_nobody_is_taken_and_given_back(cluster: Cluster) -> None:
    assert not ownership.take_serve(MINE, ADDRESS)
    assert not ownership.owns_serve(MINE), "it does not run yet"
    cluster.serve_runs = True
    assert ownership.owns_serve(MINE)
    assert not ownership.owns_serve(OTHER)
    ownership.release_serve()
    assert cluster.entries == {}


def test_what_a_killed_driver_of_this_home_left_is_ours_to_end(cluster: Cluster) -> None:
    ownership.take_serve(MINE, ADDRESS)
    cluster.serve_runs = True
    assert ownership.take_serve(MINE, ADDRESS)


@pytest.mark.parametrize("other", [OTHER, AWAY])
def test_the_serve_of_another_is_refused_by_its_home_and_not_touched(
    cluster: Cluster, other: Owner
) -> None:
    ownership.take_serve(other, ADDRESS)
    cluster.serve_runs = True
    with pytest.raises(Unreachable, match=f"that of home {other.home}.*everfresh down --home"):
        ownership.take_serve(MINE, ADDRESS)
    assert ownership.owns_serve(other)
    assert not ownership.owns_serve(MINE)


def test_a_serve_that_no_everfresh_started_is_refused_and_not_signed(cluster: Cluster) -> None:
    cluster.serve_runs = True
    with pytest.raises(Unreachable, match=r"Ray Serve runs on the cluster at 10\.9\.8\.7:6379"):
        ownership.take_serve(MINE, ADDRESS)
    assert cluster.entries == {}


def test_an_entry_without_a_serve_stands_in_nobodys_way(cluster: Cluster) -> None:
    ownership.take_serve(OTHER, ADDRESS)
    assert not ownership.take_serve(MINE, ADDRESS)
    cluster.serve_runs = True
    assert ownership.owns_serve(MINE)


def test_a_driver_that_is_about_to_start_serve_is_waited_for(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    ownership.take_serve(OTHER, ADDRESS)
    monkeypatch.setattr(ownership, "_STARTING_S", 600.0)
    monkeypatch.setattr(ownership.time, "sleep", lambda _: setattr(cluster, "serve_runs", True))
    with pytest.raises(Unreachable, match="serves another everfresh"):
        ownership.take_serve(MINE, ADDRESS)
