from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional

from everfresh.model.trends.evidence import Evidence
from everfresh.model.trends.likelihood import PoolLikelihood
from everfresh.model.trends.table import COLUMNS, LINKS, WEIGHTS

TARGETS, RIVALS, PLACES = 7, 11, 3


def drawn(generator: np.random.Generator) -> tuple[Evidence, np.ndarray, np.ndarray, np.ndarray]:
    """Two parts, several links of one pair, and rivals that some users have had lately."""

    def normal(*shape: int) -> np.ndarray:
        return generator.normal(size=shape).astype(np.float32)

    links = 9
    again = np.unique(generator.integers(0, [[TARGETS], [RIVALS]], (2, 8)), axis=1)
    evidence = Evidence(
        normal(2, RIVALS, COLUMNS),
        np.array([0, 0, 0, 1, 1, 1, 1]),
        np.append(generator.integers(0, TARGETS, links - 1), 2),
        np.append(generator.integers(0, RIVALS, links - 1), 5),
        normal(links, LINKS),
        again,
        generator.integers(0, PLACES, TARGETS),
    )
    return evidence, normal(TARGETS, RIVALS), normal(RIVALS), generator.integers(0, RIVALS, TARGETS)


def features_of(evidence: Evidence, network: np.ndarray) -> torch.Tensor:
    """``(TARGETS, RIVALS, WEIGHTS)``, one pair after another."""
    features = np.zeros((TARGETS, RIVALS, WEIGHTS), np.float64)
    features[:, :, 0] = network
    for target, part in enumerate(evidence.part):
        features[target, :, 1 : 1 + COLUMNS] = evidence.features[part]
    for target, rival, link in zip(evidence.at, evidence.columns, evidence.links, strict=True):
        features[target, rival, 1 + COLUMNS : -1] += link
    for target, rival in evidence.again.T:
        features[target, rival, -1] += 1.0
    return torch.from_numpy(features)


def test_cost_and_gradient_are_those_of_a_softmax_over_all_features() -> None:
    for seed in range(5):
        evidence, network, fixed, wanted = drawn(np.random.default_rng(seed))
        weights = torch.randn(PLACES, WEIGHTS, generator=torch.Generator().manual_seed(seed))
        exact = weights.double().requires_grad_(True)
        mine = exact[torch.from_numpy(evidence.places)]
        scores = (features_of(evidence, network) * mine[:, None]).sum(2) + torch.from_numpy(fixed)
        cost = functional.cross_entropy(scores, torch.from_numpy(wanted), reduction="sum")
        cost.backward()
        likelihood = PoolLikelihood(network, fixed, evidence, wanted)
        for _ in range(2):  # its buffer is used again
            found, gradient = likelihood.cost(weights)
            torch.testing.assert_close(found.double(), cost.detach(), rtol=1e-5, atol=1e-5)
            assert exact.grad is not None
            torch.testing.assert_close(gradient.double(), exact.grad, rtol=1e-4, atol=1e-5)
