"""A small file of ratings, which short runs of benchmarks learn from."""

from __future__ import annotations

import random
from pathlib import Path

import pytest


@pytest.fixture
def film_ratings(tmp_path: Path) -> Path:
    """Thirty users walk up sixty films, so that there is something to learn."""
    rng, path = random.Random(1), tmp_path / "u.data"
    last = {user: rng.randrange(60) for user in range(1, 31)}
    rows = []
    for place in range(1_200):
        user = rng.choice(list(last))
        last[user] = (last[user] + rng.choice((1, 1, 1, 2))) % 60
        rows.append(f"{user}\t{last[user] + 1}\t{rng.randint(1, 5)}\t{900_000_000 + 60 * place}")
    path.write_text("\n".join(rows) + "\n")
    return path
