"""What does the cache of users' histories save, and how much memory does it take?

    python -m benchmarks.user_cache [--quick] [--json FILE]

Good: milliseconds that hardly grow with the length of a cached history, few KiB for a user.

One answer by length of history, and what computing several users at once would save. One process,
one thread, no network. Times are processor time of this process, medians, so that other work on the
machine shows less; 10,000 items, the default network with a longer window.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch

from benchmarks.harness.options import parse_options
from benchmarks.harness.report import median, show_table, write_figures
from benchmarks.synthetic.states import entries
from benchmarks.synthetic.versions import untrained
from everfresh.contracts.event import UserId
from everfresh.contracts.manifest import FORMAT, WeightManifest
from everfresh.contracts.sequence import StoredSequence, UserState, pack_sequence
from everfresh.contracts.settings import ModelSettings
from everfresh.model.network.batches import EncodedExample, SequenceChunk, encode_events, pack_batch
from everfresh.model.recommender import Recommender
from everfresh.serving.history.reader import CachedHistoryReader
from everfresh.serving.recommend import RecommendRequest, recommend_items
from everfresh.serving.shared_pass import alone
from everfresh.serving.versions.holder import LoadedVersion

ITEMS, LENGTHS, BATCH = 10_000, (200, 1_000, 2_000, 4_000), 16
_SPARE = 200


class History:
    """One user's state, which starts with ``length`` events."""

    def __init__(self, length: int) -> None:
        generator = np.random.default_rng(2)
        self._length = length
        self._entries = [
            entries(generator.integers(1, ITEMS, 1), at) for at in range(length + _SPARE)
        ]
        self._upto = length
        self.append(0)

    def append(self, number: int = 1) -> None:
        """Further events, as the stream worker adds them."""
        self._upto += number
        raw = b"".join(self._entries[: self._upto])
        self._value = pack_sequence(self._upto, self._upto - 1, self._upto, raw)

    def stored(self, user: UserId) -> StoredSequence:
        """See the port."""
        return StoredSequence(user, 0, self._value, ["view"], self._length + _SPARE)

    def read(self, user: UserId) -> UserState:
        """See the port."""
        return self.stored(user).decode()


def measure(length: int, rounds: int) -> dict[str, float]:
    """A window of ``length`` events and some room, so that it does not jump meanwhile."""
    recommender = untrained(ITEMS, ModelSettings(max_length=length + _SPARE + 1))
    served = LoadedVersion(1, 0, recommender, _manifest(), 0)
    history = History(length)
    request = RecommendRequest("r", 1, 10, True)
    cached, anew = CachedHistoryReader(history, 1 << 30), CachedHistoryReader(history, 0)

    def answer() -> None:
        alone(recommend_items(served, cached, request))

    answer()
    hit = _timed(answer, lambda: None, rounds)
    extend = _timed(answer, history.append, min(rounds, _SPARE - 1))
    build = _timed(
        lambda: alone(recommend_items(served, anew, request)), lambda: None, max(3, rounds // 10)
    )
    counts = cached.figures()
    assert counts.built == 1, "the window jumped"
    return {
        "hit_ms": round(hit, 3),
        "extend_ms": round(extend, 3),
        "build_ms": round(build, 2),
        "kib": round(counts.bytes / 1024, 1),
    }


def measure_batching(rounds: int) -> dict[str, dict[str, float]]:
    """Users who are not cached, one by one and 16 at once: the network, then the catalogue."""
    recommender = untrained(ITEMS, ModelSettings())
    generator = np.random.default_rng(4)
    history = recommender.settings.max_length - 1
    codes = [_codes(recommender, generator.integers(1, ITEMS, history)) for _ in range(BATCH)]
    batches = [pack_batch([SequenceChunk(each, 0, 0, history)]) for each in codes]
    together = pack_batch([SequenceChunk(each, 0, 0, history) for each in codes])
    catalogue = recommender.catalogue()
    users = torch.nn.functional.normalize(torch.randn(BATCH, recommender.settings.dim), dim=1)

    def network(parts: list[object]) -> Callable[[], None]:
        def run() -> None:
            with torch.inference_mode():
                for part in parts:
                    recommender.network(part)

        return run

    def scores(parts: Sequence[torch.Tensor]) -> Callable[[], None]:
        def run() -> None:
            with torch.inference_mode():
                for part in parts:
                    torch.topk(catalogue.scores(part), 10)

        return run

    single = _timed(network(list(batches)), lambda: None, rounds) / BATCH
    batched = _timed(network([together]), lambda: None, rounds) / BATCH
    ranked = _timed(scores(users.split(1)), lambda: None, rounds) / BATCH
    ranked_batched = _timed(scores([users]), lambda: None, rounds) / BATCH
    return {
        "network": {"": single, "_batched": batched},
        "catalogue": {"": ranked, "_batched": ranked_batched},
    }


def _codes(recommender: Recommender, items: np.ndarray) -> EncodedExample:
    stored = StoredSequence(
        1, 0, pack_sequence(len(items), 0, len(items), entries(items)), ["view"], len(items)
    )
    return EncodedExample(encode_events(stored.decode().history, recommender.vocabulary), 0)


def _timed(work: Callable[[], object], before: Callable[[], object], rounds: int) -> float:
    """Median processor time of ``work`` in ms; ``before`` runs each time and does not count."""
    took = []
    for _ in range(rounds):
        before()
        began = time.process_time()
        work()
        took.append((time.process_time() - began) * 1000)
    return median(took)


def _manifest() -> WeightManifest:
    return WeightManifest(FORMAT, 1, None, None, 0, {}, {}, [], {}, ITEMS, 0, {})


def show(
    by_length: Mapping[int, Mapping[str, float]], batching: Mapping[str, Mapping[str, float]]
) -> None:
    """One answer by history, and users one by one and together."""
    show_table(
        "One answer of 10 items, by history",
        ("history", "cached ms ↓", "one new event ms ↓", "read anew ms ↓", "kept KiB ↓"),
        [(f"{length:,}", *values.values()) for length, values in by_length.items()],
        good="times of cached histories that hardly grow with the length",
    )
    show_table(
        "Per user, ms",
        ("part", "one by one ↓", f"{BATCH} at once ↓"),
        [(part, *values.values()) for part, values in batching.items()],
        good="little time; batching pays only where it is much less",
    )


def figures(
    by_length: Mapping[int, Mapping[str, float]], batching: Mapping[str, Mapping[str, float]]
) -> dict[str, float]:
    """Each value by its length, what the longest costs beside the shortest, and batching."""
    short, long = by_length[LENGTHS[0]], by_length[LENGTHS[-1]]
    return {
        **{f"{n}_{length}": v for length, values in by_length.items() for n, v in values.items()},
        "hit_ratio_longest": round(long["hit_ms"] / short["hit_ms"], 2),
        "extend_ratio_longest": round(long["extend_ms"] / short["extend_ms"], 2),
        **{
            f"{part}{suffix}_ms": round(value, 3)
            for part, values in batching.items()
            for suffix, value in values.items()
        },
    }


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print, write."""
    options = parse_options("user_cache", __doc__, argv)
    began = time.monotonic()
    torch.set_num_threads(1)
    rounds = 5 if options.quick else 60
    by_length = {length: measure(length, rounds) for length in LENGTHS}
    batching = measure_batching(rounds)
    show(by_length, batching)
    write_figures(figures(by_length, batching), began, options.json)


if __name__ == "__main__":
    main()
