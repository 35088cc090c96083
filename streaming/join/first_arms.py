"""Folds exposures of sticky experiments into the first arm of each user and experiment."""

from __future__ import annotations

from collections.abc import Sequence

from everfresh.contracts.event import UserId
from everfresh.contracts.experiments.first_arm import (
    FirstArm,
    decode_first_arms,
    encode_first_arms,
    first_arms_key,
)
from everfresh.contracts.exposure import Exposure
from everfresh.streaming.state.store import PartitionStore
from everfresh.streaming.state.write_batch import WriteBatch


def remember(exposures: Sequence[Exposure], store: PartitionStore, batch: WriteBatch) -> None:
    """Add to ``batch`` what these, in log order, say for the first time. Most say nothing."""
    sticky = [each for each in exposures if each.sticky and each.experiment is not None]
    if not sticky:
        return
    users: list[UserId] = list(dict.fromkeys(each.user_id for each in sticky))
    keys = [first_arms_key(user) for user in users]
    rows = dict(zip(users, map(decode_first_arms, store.get_many(keys)), strict=True))
    changed: set[UserId] = set()
    for each in sticky:
        row = rows[each.user_id]
        if all(known.experiment != each.experiment for known in row):
            row.append(
                FirstArm(each.experiment or "", each.arm, each.definition_version, each.probability)
            )
            changed.add(each.user_id)
    for user, key in zip(users, keys, strict=True):
        if user in changed:
            batch.puts[key] = encode_first_arms(rows[user])
