"""Every answer, computed again from the version it names."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from benchmarks.swap_storm.client import Answer
from everfresh.adapters.state.reader import RocksHistoryReader
from everfresh.adapters.weights.store import FsspecWeightStore
from everfresh.contracts.event import UserId
from everfresh.contracts.ports import WeightStore
from everfresh.contracts.sequence import Interaction
from everfresh.contracts.settings import Settings
from everfresh.contracts.topics import EVENTS, topic_name
from everfresh.model.inference.incremental import window_begin
from everfresh.model.recommender import Recommender

_TOLERANCE = 1e-3


def count_mixed(
    answers: Sequence[Answer], settings: Settings, store: FsspecWeightStore
) -> tuple[int, int]:
    """``(answers that their version does not give, versions seen)``, by the state on disk."""
    topic = topic_name(settings.kafka.topic_prefix, EVENTS)
    reader = RocksHistoryReader(settings.state_dir, topic, settings.state.history_length)
    histories: dict[UserId, Sequence[Interaction]] = {}
    for user in {answer.user for answer in answers}:
        state = reader.read(user)
        assert state is not None, "the stage folded every user"
        # What replicas read of it: the window begins where the number of events says.
        kept = min(settings.model.max_length - 1, settings.state.history_length)
        first = window_begin(state.accepted, kept)
        histories[user] = state.history[first - state.accepted :]
    reader.close()
    return compare(answers, histories, store)


def compare(
    answers: Sequence[Answer], histories: Mapping[UserId, Sequence[Interaction]], store: WeightStore
) -> tuple[int, int]:
    """The same for users whose histories, as replicas see them, are these."""
    by_version: dict[int, list[Answer]] = defaultdict(list)
    for answer in answers:
        if not answer.failure:
            by_version[answer.version].append(answer)
    mixed = 0
    for version, given in sorted(by_version.items()):
        manifest = store.manifest(version)
        files = {file.name: store.read(manifest, file.name) for file in manifest.files}
        recommender = Recommender.load(manifest.model, files)
        k = len(given[0].items)
        expected = {
            user: recommender.recommend(histories[user], k)
            for user in {answer.user for answer in given}
        }
        mixed += sum(not _equal(answer, *expected[answer.user]) for answer in given)
    return mixed, len(by_version)


def _equal(answer: Answer, items: Sequence[object], scores: Sequence[float]) -> bool:
    if not np.allclose(answer.scores, scores, atol=_TOLERANCE):
        return False
    # Items whose scores are equal to within rounding may stand in either order.
    apart = np.abs(np.diff(scores)) > _TOLERANCE
    if answer.items == list(items):
        return True
    return set(answer.items) == set(items) and not bool(apart.all())
