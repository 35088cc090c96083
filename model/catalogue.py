"""The catalogue: what scores every item for a user vector, and the best of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from everfresh.model.vocabulary.vocabulary import UNKNOWN

LEAST_NORM = 1e-6
"""Norms of item vectors below this count as this."""


@dataclass(frozen=True)
class Catalogue:
    """Item vectors ``(rows, dim)`` and, per row, a bias and a factor of its scores ``(rows,)``.

    Without factors the vectors are unit vectors over the temperature. With them they are the
    weights themselves, so that a large table is neither copied nor written; not for gradients.
    """

    vectors: Tensor
    bias: Tensor
    factors: Tensor | None = None

    @cached_property
    def arrays(self) -> tuple[npt.NDArray[np.float32], ...]:
        """Vectors, bias and factors as numpy sees the same memory, which must have factors."""
        assert self.factors is not None, "a recommender's own catalogue has them"
        return self.vectors.numpy(), self.bias.numpy(), self.factors.numpy()

    def scores(self, users: Tensor) -> Tensor:
        """Scores ``(n, rows)`` of user vectors ``(n, dim)``."""
        if self.factors is None:
            return torch.addmm(self.bias, users, self.vectors.T)
        return (users @ self.vectors.T).mul_(self.factors).add_(self.bias)

    def scores_into(self, out: Tensor, users: Tensor) -> None:
        """The same, written to ``out``. Not for gradients."""
        if self.factors is None:
            torch.addmm(self.bias, users, self.vectors.T, out=out)
        else:
            torch.mm(users, self.vectors.T, out=out).mul_(self.factors).add_(self.bias)

    def of(self, rows: Tensor | slice) -> Catalogue:
        """These rows alone."""
        factors = None if self.factors is None else self.factors[rows]
        return Catalogue(self.vectors[rows], self.bias[rows], factors)

    def without(self, rows: Sequence[int]) -> Catalogue:
        """The same, in which these rows can be recommended to nobody. Not for gradients."""
        with torch.inference_mode():
            places = torch.tensor(rows, dtype=torch.int64).to(self.bias.device)
            bias = self.bias.index_fill(0, places, -torch.inf)
        return Catalogue(self.vectors, bias, self.factors)

    def item_scores(self, users: Tensor) -> Tensor:
        """The same with minus infinity for row 0, which is no item. Not for gradients."""
        scores = self.scores(users)
        scores[:, UNKNOWN] = -torch.inf
        return scores


def best_rows(scores: Tensor, k: int, barred: Sequence[int]) -> tuple[list[int], list[float]]:
    """The ``k`` best of the ``scores`` ``(rows,)`` outside ``barred``, best first."""
    if barred:
        scores[torch.tensor(barred)] = -torch.inf
    values, rows = torch.topk(scores, min(k, len(scores)))
    allowed = torch.isfinite(values)
    return rows[allowed].tolist(), values[allowed].tolist()


def factors_of(items: Tensor, temperature: float) -> Tensor:
    """What makes scores by direction over the temperature of products with these weights."""
    norms: Tensor = torch.linalg.vector_norm(items, dim=-1).clamp_(min=LEAST_NORM)
    return norms.mul_(temperature).reciprocal_()
