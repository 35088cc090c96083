"""What Prometheus would scrape of a run."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from everfresh.contracts.settings import Settings
from tests.infra.scraped_metrics import scrape_all


@pytest.fixture
def scraped(make_settings: Callable[..., Settings]) -> dict[str, str]:
    """Kind of component -> what its metrics endpoint says."""
    return scrape_all(make_settings())
