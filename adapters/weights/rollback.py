"""A rollback by an operator: it raises the pointer's epoch, as the trainer's own rollback does."""

from __future__ import annotations

from everfresh.contracts.errors import StalePublish, WeightsError
from everfresh.contracts.manifest import Pointer, rolled_back
from everfresh.contracts.ports import WeightStore

_ATTEMPTS = 20


def roll_back(store: WeightStore, version: int) -> Pointer:
    """Make ``version`` the current one by a greater epoch, and return the pointer (law 8).

    A running trainer notices before its next window. It goes on from ``version`` and does not train
    again on windows it has trained on since. Replicas swap as after any publish.

    ``VersionNotFound`` where the version is not complete; ``WeightsError`` where it is the current
    one or nothing was published yet.
    """
    for _ in range(_ATTEMPTS):
        current = store.pointer()
        if current is None:
            raise WeightsError("nothing was published yet, so there is nothing to roll back")
        if current.version == version:
            raise WeightsError(f"version {version} is the current one already")
        wanted = rolled_back(current, version)
        try:
            store.advance(wanted)
        except StalePublish:  # a publish came in between
            continue
        return wanted
    raise WeightsError(
        f"the pointer moved {_ATTEMPTS} times while version {version} was being made current; stop "
        "the trainer, then roll back"
    )
