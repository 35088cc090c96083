"""The ten best of a large catalogue: exact in several precisions, and faiss's indexes.

One user at a time, one thread, processor time. Item vectors are a mixture of clusters, as trained
ones are; users stand near items. Recall is the share of the exact ten that a way finds.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import faiss
import numpy as np
import numpy.typing as npt
import torch

from benchmarks._harness import finish, median, parse_options, show
from everfresh.model.inference.retrieval import first_places

DIM, K, CLUSTERS = 64, 10, 1_000
SIZES = (10_000, 100_000, 1_000_000)
_HNSW_LIMIT = 100_000  # links for a million take an hour of one core; a version lives seconds

Floats = npt.NDArray[np.float32]
Ask = Callable[[Floats], npt.NDArray[np.int64]]


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print, write."""
    options = parse_options(__doc__ or "", argv)
    began = time.monotonic()
    torch.set_num_threads(1)
    faiss.omp_set_num_threads(1)
    figures: dict[str, float] = {}
    for size in SIZES[:2] if options.quick else SIZES:
        vectors, users = _made(size, 20 if options.quick else 200)
        wanted = [_exact32(vectors)[1](user) for user in users]
        rows = []
        for name, (built_s, ask) in _ways(vectors).items():
            p50, p99, recall = _measured(ask, users, wanted)
            rows.append((name, p50, p99, recall, built_s))
            figures |= {
                f"{name}_{size}_p50_ms": round(p50, 3),
                f"{name}_{size}_p99_ms": round(p99, 3),
                f"{name}_{size}_recall": round(recall, 4),
                f"{name}_{size}_build_s": round(built_s, 2),
            }
        show(f"{size:,} items", ("", "p50 ms", "p99 ms", "recall@10", "build s"), rows)
    finish(figures, began, options.json)


def _made(size: int, users: int) -> tuple[Floats, Floats]:
    random = np.random.default_rng(1)
    centres = random.standard_normal((CLUSTERS, DIM), np.float32)
    vectors = centres[random.integers(0, CLUSTERS, size)]
    vectors += 0.6 * random.standard_normal((size, DIM), np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    near = vectors[random.integers(0, size, users)]
    asked = near + 0.08 * random.standard_normal((users, DIM), np.float32)
    return vectors, asked / np.linalg.norm(asked, axis=1, keepdims=True)


def _ways(vectors: Floats) -> dict[str, tuple[float, Ask]]:
    ways = {
        "exact_float32": _exact32(vectors),
        "exact_bfloat16": _exact16(vectors),
        "int8": _exact8(vectors),
        "faiss_ivf": _ivf(vectors),
    }
    return ways | ({"faiss_hnsw": _hnsw(vectors)} if len(vectors) <= _HNSW_LIMIT else {})


def _exact32(vectors: Floats) -> tuple[float, Ask]:
    """What replicas do."""
    return 0.0, lambda user: first_places(vectors @ user, K)


def _exact16(vectors: Floats) -> tuple[float, Ask]:
    """Scores from vectors of half the size."""
    began = time.process_time()
    table = torch.from_numpy(vectors).bfloat16()

    def ask(user: Floats) -> npt.NDArray[np.int64]:
        with torch.inference_mode():
            scores = table @ torch.from_numpy(user).bfloat16()
            return first_places(scores.float().numpy(), K)

    return time.process_time() - began, ask


def _exact8(vectors: Floats) -> tuple[float, Ask]:
    """Every vector in eight bits a number (faiss's scalar quantizer); the first 100 scored anew."""
    began = time.process_time()
    index = faiss.IndexScalarQuantizer(
        DIM, faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_INNER_PRODUCT
    )
    index.train(vectors[:100_000])
    index.add(vectors)

    def ask(user: Floats) -> npt.NDArray[np.int64]:
        at = index.search(user[None], 10 * K)[1][0]
        return at[first_places(vectors[at] @ user, K)]

    return time.process_time() - began, ask


def _ivf(vectors: Floats) -> tuple[float, Ask]:
    """Lists around centres; 16 lists are looked through."""
    began = time.process_time()
    lists = int(2 * len(vectors) ** 0.5)
    index = faiss.IndexIVFFlat(faiss.IndexFlatIP(DIM), DIM, lists, faiss.METRIC_INNER_PRODUCT)
    index.train(vectors[: 50 * lists])
    index.add(vectors)
    index.nprobe = 16
    return time.process_time() - began, lambda user: index.search(user[None], K)[1][0]


def _hnsw(vectors: Floats) -> tuple[float, Ask]:
    """A graph of neighbours, 16 links each; 64 candidates are kept while it is walked."""
    began = time.process_time()
    index = faiss.IndexHNSWFlat(DIM, 16, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction = 40
    index.add(vectors)
    index.hnsw.efSearch = 64
    return time.process_time() - began, lambda user: index.search(user[None], K)[1][0]


def _measured(
    ask: Ask, users: Floats, wanted: list[npt.NDArray[np.int64]]
) -> tuple[float, float, float]:
    ask(users[0])
    took, found = [], []
    for user in users:
        began = time.process_time()
        found.append(ask(user))
        took.append((time.process_time() - began) * 1000)
    recall = np.mean([len(set(a) & set(b)) / K for a, b in zip(found, wanted, strict=True)])
    return median(took), float(np.percentile(took, 99)), float(recall)


if __name__ == "__main__":
    main()
