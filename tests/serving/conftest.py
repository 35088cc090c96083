"""A replica with a version and a known user, and its door."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.serving.http_client import Client
from tests.serving.replica_in_memory import Bench, publish


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    made.remember(1, [3, 5, 7])
    publish(made.store, 1)
    made.replica.start()
    yield made
    made.replica.stop()


@pytest.fixture
def client(bench: Bench) -> Client:
    return Client(bench)
