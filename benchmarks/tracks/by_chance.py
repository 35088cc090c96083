"""What interleaving and exploration cost one answer, in one process: no network, one thread.

OMP_NUM_THREADS=1 python -m benchmarks.tracks.by_chance [REQUESTS]
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping

import numpy as np
import torch

from benchmarks.harness.report import median, show_table
from benchmarks.synthetic.states import entries
from benchmarks.synthetic.versions import manifest, untrained
from everfresh.contracts.event import UserId
from everfresh.contracts.experiments.assignment import NO_EXPERIMENT, Assignments
from everfresh.contracts.experiments.definition import Arm, Definition
from everfresh.contracts.experiments.exploration import Explore
from everfresh.contracts.sequence import StoredSequence, UserState, pack_sequence
from everfresh.contracts.settings import ModelSettings
from everfresh.serving.exploration import exploring_items
from everfresh.serving.history.reader import CachedHistoryReader
from everfresh.serving.interleaving import Captured, interleaved_items
from everfresh.serving.recommend import Answer, RecommendRequest, recommend_items
from everfresh.serving.shared_pass import Steps, alone
from everfresh.serving.versions.holder import LoadedVersion

ITEMS, EVENTS, K = 10_000, 99, 10
_ROUNDS = 7


class _Known:
    """Users who all have one history."""

    def __init__(self) -> None:
        items = np.random.default_rng(2).integers(1, ITEMS, EVENTS)
        raw = b"".join(entries(items[at : at + 1], at) for at in range(EVENTS))
        self._value = pack_sequence(EVENTS, EVENTS - 1, EVENTS, raw)

    def stored(self, user: UserId) -> StoredSequence:
        """See the port."""
        return StoredSequence(user, 0, self._value, ["view"], 2 * EVENTS)

    def read(self, user: UserId) -> UserState:
        """See the port."""
        return self.stored(user).decode()


def measured(requests: int) -> dict[str, float]:
    """As :func:`answer_ms`, in a process whose libraries have one thread, as Ray runs replicas."""
    words = [sys.executable, "-m", "benchmarks.tracks.by_chance", str(requests)]
    alone = {**os.environ, "OMP_NUM_THREADS": "1"}
    said = subprocess.run(words, env=alone, check=True, capture_output=True, text=True).stdout
    costs: dict[str, float] = json.loads(said)
    return costs


def answer_ms(requests: int) -> dict[str, float]:
    """Milliseconds of a processor per answer, histories cached: medians of rounds."""
    torch.set_num_threads(1)
    model, known = ModelSettings(), _Known()
    captured = []
    for seed in (1, 2):
        recommender = untrained(ITEMS, model, seed)
        loaded = LoadedVersion(seed, 1, recommender, manifest(seed, recommender), 0)
        captured.append(Captured(loaded, CachedHistoryReader(known, 64 << 20)))
    first, second = captured
    arms = [Arm("control", 0.5), Arm("treatment", 0.5, "fast")]
    both = _defined(arms, interleaved=True)
    explores = _defined([Arm(name, 0.5, explore=Explore(0.1)) for name in ("a", "b")])
    cases: Mapping[str, Callable[[RecommendRequest], Steps[Answer]]] = {
        "answer": lambda asked: recommend_items(
            first.loaded, first.histories, asked, NO_EXPERIMENT
        ),
        "interleaved": lambda asked: interleaved_items(
            (first, second), asked, both.assign(asked.user_id)
        ),
        "exploring": lambda asked: exploring_items(
            first.loaded, first.histories, asked, explores.assign(asked.user_id)
        ),
    }
    took: dict[str, list[float]] = {name: [] for name in cases}
    for turn in range(_ROUNDS + 1):
        for name, answer in cases.items():
            began = time.process_time()
            for number in range(requests):
                alone(answer(RecommendRequest(f"{turn}-{number}", number % 50, K, True)))
            if turn:  # in the first, histories are read
                took[name].append(1000 * (time.process_time() - began) / requests)
    return {name: median(each) for name, each in took.items()}


def show(costs: Mapping[str, float]) -> None:
    """A table."""
    show_table(
        f"milliseconds of a processor per answer of {K} from {ITEMS:,} items, in one process",
        ("answer", "CPU ms ↓"),
        list(costs.items()),
        good="interleaved about twice an answer of one track, exploring less than that",
    )


def _defined(arms: list[Arm], *, interleaved: bool = False) -> Assignments:
    made = Definition(name="e", arms=arms, seed="e", interleaved=interleaved, started=1, changed=1)
    return Assignments([(1, made)])


if __name__ == "__main__":
    print(json.dumps(answer_ms(int(sys.argv[1]) if len(sys.argv) > 1 else 300)))
