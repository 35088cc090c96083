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
    """What Ray keeps of Serve: entries, and the controller while Serve runs."""

    def __init__(self) -> None:
        self.entries: dict[tuple[str, str], bytes] = {}
        self.serve_runs = False
        self.applications: list[str] = []

    def put(self, key: str, value: bytes, overwrite: bool = True, *, namespace: str) -> bool:
        existed = (namespace, key) in self.entries
        if overwrite or not existed:
            self.entries[namespace, key] = value
        return existed

    def get(self, key: str, *, namespace: str) -> bytes | None:
        return self.entries.get((namespace, key))

    def delete(self, key: str, *, namespace: str) -> None:
        self.entries.pop((namespace, key), None)

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


def take(cluster: Cluster, name: str, mine: Owner) -> bool:
    return ownership.take_application(name, mine, lambda: cluster.applications, ADDRESS)


def test_a_serve_that_does_not_run_is_taken_and_given_back(cluster: Cluster) -> None:
    assert ownership.take_serve(MINE, "10.0.0.1")
    cluster.serve_runs = True
    assert ownership.owner_of_serve() == MINE
    assert ownership.door_of_serve() == "10.0.0.1"
    ownership.release_serve()
    assert cluster.entries == {}


@pytest.mark.parametrize("other", [OTHER, AWAY])
def test_the_serve_of_another_everfresh_is_joined_and_stays_its_own(
    cluster: Cluster, other: Owner
) -> None:
    ownership.take_serve(other, "0.0.0.0")
    cluster.serve_runs = True
    assert not ownership.take_serve(MINE, "127.0.0.1")
    assert ownership.owner_of_serve() == other
    assert ownership.door_of_serve() == "0.0.0.0"


def test_a_serve_that_no_everfresh_started_is_joined_and_not_signed(cluster: Cluster) -> None:
    cluster.serve_runs = True
    assert not ownership.take_serve(MINE, "127.0.0.1")
    assert ownership.door_of_serve() == ""
    assert cluster.entries == {}


def test_an_entry_without_a_serve_stands_in_nobodys_way(cluster: Cluster) -> None:
    ownership.take_serve(OTHER, "127.0.0.1")
    assert ownership.take_serve(MINE, "127.0.0.1")
    assert ownership.owner_of_serve() == MINE


def test_a_driver_that_is_about_to_start_serve_is_waited_for(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    ownership.take_serve(OTHER, "127.0.0.1")
    monkeypatch.setattr(ownership, "_STARTING_S", 600.0)
    monkeypatch.setattr(ownership.time, "sleep", lambda _: setattr(cluster, "serve_runs", True))
    assert not ownership.take_serve(MINE, "127.0.0.1")


def test_two_everfresh_of_two_names_stand_beside_each_other(cluster: Cluster) -> None:
    for name, owner in (("shop", MINE), ("news", OTHER)):
        assert not take(cluster, name, owner)
        cluster.applications.append(name)
    assert ownership.owner_of_application("shop") == MINE
    assert ownership.owner_of_application("news") == OTHER
    ownership.release_application("shop")
    assert ownership.owner_of_application("news") == OTHER


def test_what_a_killed_driver_of_this_home_left_is_ours_to_end(cluster: Cluster) -> None:
    take(cluster, "shop", MINE)
    cluster.applications.append("shop")
    assert take(cluster, "shop", MINE)


@pytest.mark.parametrize("other", [OTHER, AWAY])
def test_a_name_that_another_everfresh_has_is_refused_by_its_home_and_not_touched(
    cluster: Cluster, other: Owner
) -> None:
    take(cluster, "shop", other)
    cluster.applications.append("shop")
    with pytest.raises(Unreachable, match=f"that of home {other.home}.*everfresh down --home"):
        take(cluster, "shop", MINE)
    assert ownership.owner_of_application("shop") == other


def test_an_application_that_no_everfresh_started_is_refused_and_not_signed(
    cluster: Cluster,
) -> None:
    cluster.applications.append("shop")
    with pytest.raises(Unreachable, match=r"'shop' already, which no everfresh .*ray\.application"):
        take(cluster, "shop", MINE)
    assert cluster.entries == {}


def test_a_name_whose_application_does_not_run_stands_in_nobodys_way(cluster: Cluster) -> None:
    take(cluster, "shop", OTHER)
    assert not take(cluster, "shop", MINE)
    assert ownership.owner_of_application("shop") == MINE


def test_an_earlier_releases_application_is_whose_the_serve_is(cluster: Cluster) -> None:
    ownership.take_serve(MINE, "")
    cluster.serve_runs = True
    cluster.applications.append("everfresh")
    assert take(cluster, "everfresh", MINE)
    ownership.release_application("everfresh")
    with pytest.raises(Unreachable, match=f"home {MINE.home}"):
        take(cluster, "everfresh", OTHER)
