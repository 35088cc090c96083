"""The map from what an item is to where its row points: ridge regression over items with rows.

It predicts the unit vector of a row, which is what scores are products with. What it cannot tell
makes the prediction shorter than 1, so that a score by it is as careful as it should be. Solved
in closed form, on a bounded sample: equal rows give an equal map (law 5), at a cost that does not
follow the catalogue.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from hashlib import blake2b

import numpy as np
import torch
from torch import Tensor

from everfresh.contracts.errors import CorruptVersion
from everfresh.model.content.features import WIDTH, Features, Matrix, matrix_of, parts
from everfresh.model.row_changes import RowChanges
from everfresh.model.weights import SPREAD, overwrite, require_alike

CONTENT = "content."
SAMPLE = 2_048
"""Items with rows that a map is made of, at most."""
FEWEST = 20
"""With fewer there is no map."""
_HALF_TRUST = 5.0
"""Sightings with which a row counts half."""
_RIDGE = 20.0
"""Added to the diagonal, in items."""
UNSEEN = -20.0
"""The offset before anything is known of how often cold items are chosen: none is shown."""


class ContentMap:
    """``map`` ``(WIDTH, dim)``; ``numbers`` ``()`` of the embeddings that count, those of most
    items; ``offset`` ``()`` that a cold item's score has beside the product with the user.

    Replaced by a trainer, overwritten by a replica through :meth:`take`. Without tensors nothing is
    known: there are no cold items then.
    """

    def __init__(self, tensors: dict[str, Tensor] | None = None) -> None:
        self._tensors = tensors or {}

    @classmethod
    def fitted(
        cls, features: Sequence[Features], rows: Tensor, counts: Tensor, offset: float
    ) -> ContentMap:
        """From items with ``rows`` ``(n, dim)`` that were sighted ``counts`` ``(n,)`` times;
        nothing where there are too few."""
        if len(features) < FEWEST:
            return cls()
        lengths = Counter(each.length for each in features if each.length)
        length = lengths.most_common(1)[0][0] if lengths else 0
        x = matrix_of(features, length).astype(np.float64)
        norms = torch.linalg.vector_norm(rows, dim=1).clamp(min=1e-6)
        y = (rows / norms[:, None]).double().numpy()
        trust = (counts / (counts + _HALF_TRUST)).double().numpy()
        used = np.flatnonzero(x.any(axis=0))
        weighed = x[:, used] * trust[:, None]
        gram = weighed.T @ x[:, used]
        gram[np.diag_indices(len(used))] += _RIDGE
        gram[0, 0] -= _RIDGE  # the mean is not held back
        solved = np.zeros((WIDTH, y.shape[1]), np.float32)
        solved[used] = np.linalg.solve(gram, weighed.T @ y)
        if not np.isfinite(solved).all():
            return cls()
        return cls(
            {
                "map": torch.from_numpy(solved),
                "numbers": torch.tensor(float(length)),
                "offset": torch.tensor(offset, dtype=torch.float32),
            }
        )

    @classmethod
    def of(cls, tensors: Mapping[str, Tensor], dim: int, what: str) -> ContentMap:
        """From the tensors of a version, :data:`CONTENT` before their names, where they are;
        nothing where there are none. ``CorruptVersion`` where they do not fit."""
        found = {n.removeprefix(CONTENT): t for n, t in tensors.items() if n.startswith(CONTENT)}
        if not found:
            return cls()
        require_alike(_blank(dim), found, what)
        if not all(bool(torch.isfinite(tensor).all()) for tensor in found.values()):
            raise CorruptVersion(f"{what}: a map of contents that is not finite; take another")
        return cls(found)

    def __bool__(self) -> bool:
        return bool(self._tensors)

    @property
    def offset(self) -> float:
        """See the class."""
        return float(self._tensors["offset"])

    def name(self) -> bytes:
        """Equal where the same contents point to the same place."""
        parts = [self._tensors[name].numpy().tobytes() for name in ("map", "numbers")]
        return blake2b(b"".join(parts), digest_size=16).digest()

    def predicted(self, features: Sequence[Features]) -> Matrix:
        """Where rows of these would point ``(n, dim)``, shorter than 1 for what is not known."""
        weights = self._tensors["map"].numpy()
        made = np.zeros((len(features), weights.shape[1]), np.float32)
        for part, x in parts(features, int(self._tensors["numbers"])):
            made[part] = x @ weights[: x.shape[1]]
        return made

    def starts(self, features: Sequence[Features]) -> Tensor:
        """Rows to begin with ``(n, dim)``: as short as others begin, so that they turn as soon."""
        pointing = torch.from_numpy(self.predicted(features))
        norms = torch.linalg.vector_norm(pointing, dim=1, keepdim=True).clamp(min=1e-6)
        made: Tensor = pointing * (SPREAD * math.sqrt(pointing.shape[1]) / norms)
        return made

    def with_offset(self, offset: float) -> ContentMap:
        """The same with another offset."""
        return ContentMap({**self._tensors, "offset": torch.tensor(offset, dtype=torch.float32)})

    def tensors(self) -> dict[str, Tensor]:
        """By the names that a version has."""
        return {f"{CONTENT}{name}": tensor for name, tensor in self._tensors.items()}

    def own(self) -> None:
        """Copy what others may be using."""
        self._tensors = {name: tensor.clone() for name, tensor in self._tensors.items()}

    def take(self, changes: RowChanges, what: str) -> None:
        """Become the next version's; ``changes`` by the names that :meth:`tensors` has."""
        for name, tensor in self._tensors.items():
            overwrite(tensor, changes[f"{CONTENT}{name}"], what)


def _blank(dim: int) -> dict[str, Tensor]:
    return {
        "map": torch.zeros(WIDTH, dim),
        "numbers": torch.zeros(()),
        "offset": torch.zeros(()),
    }
