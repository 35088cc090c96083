"""Where in a Ray cluster the replicas run: on this machine, which must have the door as well."""

from __future__ import annotations

import ray

from everfresh.contracts.errors import Unreachable

_HEAD = "node:__internal_head__"
"""A resource that Ray gives to the head alone."""


def node_of_door(address: str) -> str:
    """The id of this machine's node. ``Unreachable`` unless it is the head of the cluster.

    Replicas read state and weights from this machine's disk, and Serve has its door at the head.
    """
    here = ray.get_runtime_context().get_node_id()
    nodes = ray.nodes()  # type: ignore[no-untyped-call]
    head = next((node for node in nodes if _HEAD in node["Resources"]), None)
    if head is not None and head["NodeID"] != here:
        raise Unreachable(
            f"the head of the Ray cluster at {address} is {head['NodeManagerAddress']}, another "
            "machine than this one; the door opens at the head, and replicas read state and "
            "weights from this machine's disk: start everfresh on the head"
        )
    return str(here)
