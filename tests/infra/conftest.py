"""What Prometheus would scrape of a run."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from everfresh.contracts.settings import Settings
from tests.infra.observability.expressions import Offered, offered_series
from tests.infra.observability.scraped_metrics import scrape_all


@pytest.fixture
def scraped(make_settings: Callable[..., Settings]) -> dict[str, str]:
    """Kind of component -> what its metrics endpoint says."""
    return scrape_all(make_settings())


@pytest.fixture
def offered(scraped: dict[str, str]) -> Offered:
    """Every series of a run, with its labels and their values; of the exporter too."""
    up = "everfresh_exporter_component_up 1.0\n"
    return offered_series([*scraped.values(), up])
