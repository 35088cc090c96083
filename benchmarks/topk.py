"""How long does exact ranking take as the catalogue grows, and would an index help?

    python -m benchmarks.topk [--quick] [--json FILE]

Good: few milliseconds at a recall@10 of 1, and few seconds to build: an index would have to be
built for each version, every few seconds. Needs ``faiss-cpu`` (the extra ``benchmarks``).

The ten best for one user at a time, one thread, processor time: exact in several precisions, and
faiss's indexes. Item vectors are a mixture of clusters, as trained ones are; users stand near
items. Recall is the share of the exact ten that a method finds.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import faiss
import numpy as np
import numpy.typing as npt
import torch

from benchmarks.harness.options import parse_options
from benchmarks.harness.report import median, show_table, write_figures
from benchmarks.synthetic.vectors import DIM, Floats, clustered
from everfresh.model.inference.retrieval import first_places

K = 10
SIZES = (10_000, 100_000, 1_000_000)
_HNSW_LIMIT = 100_000  # links for a million take an hour of one core; a version lives seconds

Method = Callable[[Floats], npt.NDArray[np.int64]]


class Measured(NamedTuple):
    """A method at one size: CPU time of an answer, recall, and CPU time to build."""

    p50_ms: float
    p99_ms: float
    recall: float
    build_s: float


def measure(size: int, users: int) -> dict[str, Measured]:
    """Every method on the same vectors and users."""
    vectors, asking = clustered(size, users)
    exact = [_exact32(vectors)[1](user) for user in asking]
    return {
        name: _measured(method, asking, exact, build_s)
        for name, (build_s, method) in _methods(vectors).items()
    }


def _methods(vectors: Floats) -> dict[str, tuple[float, Method]]:
    methods = {
        "exact_float32": _exact32(vectors),
        "exact_bfloat16": _exact16(vectors),
        "int8": _exact8(vectors),
        "faiss_ivf": _ivf(vectors),
    }
    return methods | ({"faiss_hnsw": _hnsw(vectors)} if len(vectors) <= _HNSW_LIMIT else {})


def _exact32(vectors: Floats) -> tuple[float, Method]:
    """What replicas do."""
    return 0.0, lambda user: first_places(vectors @ user, K)


def _exact16(vectors: Floats) -> tuple[float, Method]:
    """Scores from vectors of half the size."""
    began = time.process_time()
    table = torch.from_numpy(vectors).bfloat16()

    def rank(user: Floats) -> npt.NDArray[np.int64]:
        with torch.inference_mode():
            scores = table @ torch.from_numpy(user).bfloat16()
            return first_places(scores.float().numpy(), K)

    return time.process_time() - began, rank


def _exact8(vectors: Floats) -> tuple[float, Method]:
    """Every vector in eight bits a number (faiss's scalar quantizer); the first 100 scored anew."""
    began = time.process_time()
    index = faiss.IndexScalarQuantizer(
        DIM, faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_INNER_PRODUCT
    )
    index.train(vectors[:100_000])
    index.add(vectors)

    def rank(user: Floats) -> npt.NDArray[np.int64]:
        at = index.search(user[None], 10 * K)[1][0]
        return at[first_places(vectors[at] @ user, K)]

    return time.process_time() - began, rank


def _ivf(vectors: Floats) -> tuple[float, Method]:
    """Lists around centres; 16 lists are looked through."""
    began = time.process_time()
    lists = int(2 * len(vectors) ** 0.5)
    index = faiss.IndexIVFFlat(faiss.IndexFlatIP(DIM), DIM, lists, faiss.METRIC_INNER_PRODUCT)
    index.train(vectors[: 50 * lists])
    index.add(vectors)
    index.nprobe = 16
    return time.process_time() - began, lambda user: index.search(user[None], K)[1][0]


def _hnsw(vectors: Floats) -> tuple[float, Method]:
    """A graph of neighbours, 16 links each; 64 candidates are kept while it is walked."""
    began = time.process_time()
    index = faiss.IndexHNSWFlat(DIM, 16, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction = 40
    index.add(vectors)
    index.hnsw.efSearch = 64
    return time.process_time() - began, lambda user: index.search(user[None], K)[1][0]


def _measured(
    method: Method, users: Floats, exact: list[npt.NDArray[np.int64]], build_s: float
) -> Measured:
    method(users[0])
    took, ranked = [], []
    for user in users:
        began = time.process_time()
        ranked.append(method(user))
        took.append((time.process_time() - began) * 1000)
    recall = np.mean([len(set(a) & set(b)) / K for a, b in zip(ranked, exact, strict=True)])
    return Measured(median(took), float(np.percentile(took, 99)), float(recall), build_s)


def show(size: int, measured: Mapping[str, Measured]) -> None:
    """A line for each method."""
    show_table(
        f"The ten best of {size:,} items",
        ("method", "p50 ms ↓", "p99 ms ↓", "recall@10 ↑", "build s ↓"),
        [(name, *values) for name, values in measured.items()],
        good="few milliseconds at recall 1; a build that is shorter than a version lives",
    )


def figures(size: int, measured: Mapping[str, Measured]) -> dict[str, float]:
    """Each value by method and size."""
    return {
        f"{name}_{size}_{field}": round(getattr(values, field), digits)
        for name, values in measured.items()
        for field, digits in (("p50_ms", 3), ("p99_ms", 3), ("recall", 4), ("build_s", 2))
    }


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print, write."""
    options = parse_options("topk", __doc__, argv)
    began = time.monotonic()
    torch.set_num_threads(1)
    faiss.omp_set_num_threads(1)
    named: dict[str, float] = {}
    for size in SIZES[:2] if options.quick else SIZES:
        measured = measure(size, 20 if options.quick else 200)
        show(size, measured)
        named |= figures(size, measured)
    write_figures(named, began, options.json)


if __name__ == "__main__":
    main()
