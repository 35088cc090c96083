from __future__ import annotations

from types import SimpleNamespace

import pytest
import ray

from everfresh.contracts.errors import Unreachable
from everfresh.serving.ray.placement import node_of_door

NODES = [
    {"NodeID": "b", "NodeManagerAddress": "10.0.0.2", "Resources": {"CPU": 4.0}},
    {
        "NodeID": "a",
        "NodeManagerAddress": "10.0.0.1",
        "Resources": {"CPU": 4.0, "node:__internal_head__": 1.0},
    },
]


def stand_at(node: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray, "nodes", lambda: NODES)
    here = SimpleNamespace(get_node_id=lambda: node)
    monkeypatch.setattr(ray, "get_runtime_context", lambda: here)


def test_replicas_run_on_this_machine_where_it_is_the_head(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_at("a", monkeypatch)
    assert node_of_door("10.0.0.1:6379") == "a"


def test_a_machine_that_is_not_the_head_is_told_which_one_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stand_at("b", monkeypatch)
    with pytest.raises(Unreachable, match=r"is 10\.0\.0\.1, another machine .* on the head"):
        node_of_door("10.0.0.1:6379")
