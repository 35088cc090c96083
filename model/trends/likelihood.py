"""How well a log-linear pool foretells targets, as a function of its weights, and its gradient.

The pool of target ``t`` scores rival ``j`` with ``w . f(t, j)``: the network's logit, counts, links
from the last item, and whether the user has had it lately, by weights that go with the place of the
target. With ``p`` the softmax of the scores, the gradient of minus the log-likelihood by ``w`` is
the sum over targets and rivals of ``(p - y) f``, where ``y`` is 1 for the rival that was chosen
(Bishop 2006, equation 4.109). Scores and ``p - y`` are made in one buffer: automatic
differentiation goes through some ten times the memory.
"""

from __future__ import annotations

import itertools

import numpy as np
import torch
from torch import Tensor

from everfresh.model.trends.counts import Floats, Ints
from everfresh.model.trends.evidence import Evidence
from everfresh.model.trends.table import AGAIN, COLUMNS


class PoolLikelihood:
    """Of ``wanted`` ``(n,)``, each target's place among ``m`` rivals.

    ``network`` ``(n, m)`` are the network's logits; ``fixed`` ``(m,)`` is added to each rival's
    score whatever the weights.
    """

    def __init__(self, network: Floats, fixed: Floats, evidence: Evidence, wanted: Ints) -> None:
        self._network, self._fixed = torch.from_numpy(network), torch.from_numpy(fixed)
        self._wanted = torch.from_numpy(wanted)[:, None]
        self._places = torch.from_numpy(evidence.places)
        features = torch.from_numpy(evidence.features)
        edges = np.searchsorted(evidence.part, np.arange(len(features) + 1)).tolist()
        # A part's targets share its features, which are many times larger than they.
        self._parts = list(zip(itertools.pairwise(edges), features, strict=True))
        self._links = torch.from_numpy(evidence.links)
        self._linked = torch.from_numpy(evidence.at), torch.from_numpy(evidence.columns)
        whose, had = torch.from_numpy(evidence.again)
        self._again = whose, had
        self._scores = torch.empty_like(self._network)

    def cost(self, weights: Tensor) -> tuple[Tensor, Tensor]:
        """Minus the log-likelihood, and its gradient by the ``weights`` ``(PLACES, WEIGHTS)``."""
        mine = weights[self._places]
        scores = self._score(mine)
        most = scores.amax(1, keepdim=True)
        chosen = scores.gather(1, self._wanted)
        total = scores.sub_(most).exp_().sum(1, keepdim=True)
        cost = (total.log() + most - chosen).sum()
        surplus = scores.div_(total)
        surplus.scatter_add_(1, self._wanted, surplus.new_full((len(surplus), 1), -1.0))
        return cost, torch.zeros_like(weights).index_add_(0, self._places, self._gradient(surplus))

    def _score(self, mine: Tensor) -> Tensor:
        """Scores ``(n, m)`` by each target's own weights ``(n, WEIGHTS)``."""
        scores = torch.mul(self._network, mine[:, :1], out=self._scores).add_(self._fixed)
        for (begin, end), rows in self._parts:
            scores[begin:end].addmm_(mine[begin:end, 1 : 1 + COLUMNS], rows.T)
        at, _ = self._linked
        linked = (self._links * mine[at, 1 + COLUMNS : AGAIN]).sum(1)
        scores.index_put_(self._linked, linked, accumulate=True)
        whose, _ = self._again
        return scores.index_put_(self._again, mine[whose, AGAIN], accumulate=True)

    def _gradient(self, surplus: Tensor) -> Tensor:
        """That by each target's own weights, of ``p - y`` ``(n, m)``."""
        gradient = surplus.new_zeros(len(surplus), AGAIN + 1)
        gradient[:, 0] = torch.linalg.vecdot(surplus, self._network)
        for (begin, end), rows in self._parts:
            gradient[begin:end, 1 : 1 + COLUMNS] = surplus[begin:end] @ rows
        at, _ = self._linked
        linked = surplus[self._linked][:, None] * self._links
        gradient[:, 1 + COLUMNS : AGAIN].index_add_(0, at, linked)
        whose, _ = self._again
        gradient[:, AGAIN].index_add_(0, whose, surplus[self._again])
        return gradient
