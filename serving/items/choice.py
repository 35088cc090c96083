"""The k of all candidates, where an answer is more than the best scores: caps and unlikeness."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from everfresh.contracts.items.rules import Cap, Rules
from everfresh.model.inference.retrieval import Scores, first_places
from everfresh.model.vocabulary.sightings import ItemRows
from everfresh.serving.items.answer_rows import AnswerRows
from everfresh.serving.items.columns import Labels

_POOL = 3, 30
"""Candidates that are looked at together: so many times k, and at least so many."""
_MMR_POOL = 10, 100
_MOST_POOL = 2_000
_Vectors = npt.NDArray[np.float32]


class _Values:
    """How many items of each value of an attribute an answer has, as a cap counts them."""

    def __init__(self, cap: Cap, rows: AnswerRows, labels: Labels | None) -> None:
        self._n = cap.n
        self._rows = rows
        self._layers = [] if labels is None else labels.codes(None)
        self._count: Counter[int] = Counter()
        self.full: list[int] = []
        """Values that no further item may have, since :meth:`close` was asked."""

    def codes(self, rows: ItemRows) -> list[list[int]]:
        """The values of each of these rows."""
        slots = self._rows.slots(rows)
        columns = [layer[slots].tolist() for layer in self._layers]
        return [[code for code in row if code] for row in zip(*columns, strict=True)] or [
            [] for _ in rows
        ]

    def has_room(self, codes: Sequence[int]) -> bool:
        """Whether an item of these values fits."""
        return all(self._count[code] < self._n for code in codes)

    def add(self, codes: Sequence[int]) -> None:
        """An item of these values stands in the answer."""
        for code in codes:
            self._count[code] += 1
            if self._count[code] == self._n:
                self.full.append(code)

    def close(self, scores: Scores, rows: ItemRows | None) -> None:
        """Bar what has a value that has become full."""
        if not self.full:
            return
        slots = self._rows.slots(rows)
        for layer in self._layers:
            scores[np.isin(layer, self.full)[slots]] = -np.inf
        self.full.clear()


class Choice:
    """One answer's choice among candidates; ``rows`` are their rows, ``None`` for all rows."""

    def __init__(self, rows: AnswerRows, rules: Rules, labels: dict[str, Labels]) -> None:
        self._rows = rows
        self._lambda = rules.mmr_lambda
        self._values = [
            _Values(cap, rows, labels.get(cap.attribute)) for cap in rules.at_most or ()
        ]
        self._chosen: list[_Vectors] = []

    def begin(self, pinned: ItemRows) -> None:
        """These stand in the answer already."""
        for values in self._values:
            for codes in values.codes(pinned):
                values.add(codes)
        if self._lambda is not None:
            self._chosen += list(_directions(self._rows.vectors(pinned)))

    def choose(self, scores: Scores, rows: ItemRows | None, k: int) -> tuple[ItemRows, Scores]:
        """The places of the chosen among ``scores``, in order, and their scores.

        ``scores`` are used up. As many as there are, up to ``k``: what caps take away is made up
        for by what comes next.
        """
        places: list[int] = []
        values: list[float] = []
        of_k, least = _POOL if self._lambda is None else _MMR_POOL
        size = min(max(of_k * k, least), _MOST_POOL)
        while len(places) < k:
            for each in self._values:
                each.close(scores, rows)
            pool = _best(scores, size)
            if not len(pool):
                break
            own = scores[pool].copy()
            picked = self._pick(own, pool if rows is None else rows[pool], k - len(places))
            places += pool[picked].tolist()
            values += own[picked].tolist()
            scores[pool] = -np.inf
        return np.asarray(places, np.int64), np.asarray(values, np.float32)

    def _pick(self, scores: Scores, rows: ItemRows, k: int) -> list[int]:
        """Places in the pool, best first: all that fit, up to ``k``."""
        codes = [each.codes(rows) for each in self._values]
        weighed = (
            None
            if self._lambda is None
            else _Mmr(self._lambda, scores, _directions(self._rows.vectors(rows)), self._chosen)
        )
        picked: list[int] = []
        order = iter(range(len(rows)))
        while len(picked) < k:
            at = next(order, None) if weighed is None else weighed.best()
            if at is None:
                break
            if all(v.has_room(of[at]) for v, of in zip(self._values, codes, strict=True)):
                picked.append(at)
                for each, of in zip(self._values, codes, strict=True):
                    each.add(of[at])
                if weighed is not None:
                    weighed.add(at)
        if weighed is not None:
            self._chosen += [weighed.directions[at] for at in picked]
        return picked


class _Mmr:
    """Maximal marginal relevance over a pool. Scores count from 0 (its least) to 1 (its best)."""

    def __init__(
        self, weight: float, scores: Scores, directions: _Vectors, chosen: Sequence[_Vectors]
    ) -> None:
        spread = float(scores[0] - scores[-1])
        self._own = weight * (scores - scores[-1]) / (spread or 1.0)
        self._other = 1.0 - weight
        self.directions = directions
        self._nearest = np.full(len(scores), -np.inf, np.float32)
        self._barred = np.zeros(len(scores), np.bool_)
        for each in chosen:
            np.maximum(self._nearest, directions @ each, out=self._nearest)

    def best(self) -> int | None:
        """The next best, which does not come again."""
        if self._barred.all():
            return None
        # Beside nothing, all are equally unlike.
        likeness = np.where(np.isneginf(self._nearest), 0.0, self._nearest)
        value = self._own - self._other * likeness
        value[self._barred] = -np.inf
        at = int(value.argmax())
        self._barred[at] = True
        return at

    def add(self, at: int) -> None:
        """It stands in the answer."""
        np.maximum(self._nearest, self.directions @ self.directions[at], out=self._nearest)


def _best(scores: Scores, number: int) -> ItemRows:
    """As :func:`first_places`, for numbers that are many beside the candidates."""
    if len(scores) <= 2 * number:
        return first_places(scores, number)
    at = np.argpartition(scores, len(scores) - number)[len(scores) - number :]
    at = at[(-scores[at]).argsort(kind="stable")]
    return at[scores[at] > -np.inf]


def _directions(vectors: _Vectors) -> _Vectors:
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    made: _Vectors = vectors / np.maximum(norms, 1e-12)
    return made
