"""What the user cache saves per answer, by length of history, and what batching would.

One process, one thread, no network. Times are processor time of this process, medians, so that
other work on the machine shows less; 10,000 items, the default network with a longer window.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np
import torch

from benchmarks._harness import finish, median, parse_options, show
from benchmarks.serving.made import entries, recommender
from everfresh.contracts.event import UserId
from everfresh.contracts.manifest import FORMAT, WeightManifest
from everfresh.contracts.sequence import StoredSequence, UserState, pack_sequence
from everfresh.contracts.settings import ModelSettings
from everfresh.model.network.batches import EncodedExample, SequenceChunk, encode_events, pack_batch
from everfresh.model.recommender import Recommender
from everfresh.serving.history.reader import CachedHistoryReader
from everfresh.serving.recommend import RecommendRequest, recommend_items
from everfresh.serving.versions.holder import LoadedVersion

ITEMS, LENGTHS, BATCH = 10_000, (200, 1_000, 2_000, 4_000), 16
_SPARE = 200


class History:
    """One user's state, which starts with ``length`` events."""

    def __init__(self, length: int) -> None:
        random = np.random.default_rng(2)
        self._length = length
        self._entries = [entries(random.integers(1, ITEMS, 1), at) for at in range(length + _SPARE)]
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


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print, write."""
    options = parse_options(__doc__ or "", argv)
    began = time.monotonic()
    torch.set_num_threads(1)
    rounds = 5 if options.quick else 60
    figures: dict[str, float] = {}
    rows = []
    for length in LENGTHS:
        found = _one_length(length, rounds)
        rows.append((f"{length:,}", *found.values()))
        figures |= {f"{name}_{length}": value for name, value in found.items()}
    columns = ("history", "hit ms", "one new event ms", "read anew ms", "kept KiB")
    show("One answer of 10 items, by history", columns, rows)
    short, long = LENGTHS[0], LENGTHS[-1]
    figures["hit_ratio_longest"] = round(figures[f"hit_ms_{long}"] / figures[f"hit_ms_{short}"], 2)
    figures["extend_ratio_longest"] = round(
        figures[f"extend_ms_{long}"] / figures[f"extend_ms_{short}"], 2
    )
    figures |= _batching(rounds)
    finish(figures, began, options.json)


def _one_length(length: int, rounds: int) -> dict[str, float]:
    """A window of ``length`` events and some room, so that it does not jump meanwhile."""
    made = recommender(ITEMS, ModelSettings(max_length=length + _SPARE + 1))
    served = LoadedVersion(1, 0, made, _manifest(), 0)
    history = History(length)
    request = RecommendRequest("r", 1, 10, True)
    kept, anew = CachedHistoryReader(history, 1 << 30), CachedHistoryReader(history, 0)
    recommend_items(served, kept, request)

    def extended() -> None:
        recommend_items(served, kept, request)

    hit = _timed(extended, lambda: None, rounds)
    extend = _timed(extended, history.append, min(rounds, _SPARE - 1))
    build = _timed(
        lambda: recommend_items(served, anew, request), lambda: None, max(3, rounds // 10)
    )
    figures = kept.figures()
    assert figures.built == 1, "the window jumped"
    return {
        "hit_ms": round(hit, 3),
        "extend_ms": round(extend, 3),
        "build_ms": round(build, 2),
        "kib": round(figures.bytes / 1024, 1),
    }


def _batching(rounds: int) -> dict[str, float]:
    """Users without a kept past, 16 at once and one by one: the network, then the catalogue."""
    made = recommender(ITEMS, ModelSettings())
    random = np.random.default_rng(4)
    history = made.settings.max_length - 1
    codes = [_codes(made, random.integers(1, ITEMS, history)) for _ in range(BATCH)]
    batches = [pack_batch([SequenceChunk(one, 0, 0, history)]) for one in codes]
    together = pack_batch([SequenceChunk(one, 0, 0, history) for one in codes])
    catalogue = made.catalogue()
    users = torch.nn.functional.normalize(torch.randn(BATCH, made.settings.dim), dim=1)

    def network(parts: list[object]) -> Callable[[], None]:
        def run() -> None:
            with torch.inference_mode():
                for part in parts:
                    made.network(part)

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
    rows = [("network", single, batched), ("catalogue", ranked, ranked_batched)]
    show("Per user, ms", ("", "one by one", f"{BATCH} at once"), rows)
    return {
        "network_ms": round(single, 3),
        "network_batched_ms": round(batched, 3),
        "catalogue_ms": round(ranked, 3),
        "catalogue_batched_ms": round(ranked_batched, 3),
    }


def _codes(made: Recommender, items: np.ndarray) -> EncodedExample:
    stored = StoredSequence(
        1, 0, pack_sequence(len(items), 0, len(items), entries(items)), ["view"], len(items)
    )
    return EncodedExample(encode_events(stored.decode().history, made.vocabulary), 0)


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


if __name__ == "__main__":
    main()
