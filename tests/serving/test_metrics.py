"""Every request is counted once, by what became of it; what is counted takes few series."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry

from everfresh.adapters.observe.metrics import Metrics
from everfresh.contracts.errors import StateFormatError
from everfresh.contracts.settings import ServingSettings
from everfresh.serving.metrics import RequestMetrics
from tests.serving.http_client import SERVING, Client
from tests.serving.replica_in_memory import Bench

DURATION = "everfresh_replica_request_duration_seconds"


class Counted:
    """What a client's replica has counted of requests."""

    def __init__(self) -> None:
        metrics = Metrics("replica")
        self.measure = RequestMetrics(metrics).measure
        self._registry: CollectorRegistry = metrics.registry

    def requests(self, interface: str, route: str, outcome: str) -> float:
        labels = {"interface": interface, "route": route, "outcome": outcome}
        return self._registry.get_sample_value(f"{DURATION}_count", labels) or 0.0

    def responses(self, interface: str, code: str) -> float:
        labels = {"interface": interface, "code": code}
        name = "everfresh_replica_responses_total"
        return self._registry.get_sample_value(name, labels) or 0.0

    def problems(self, problem: str) -> float | None:
        name = "everfresh_replica_request_problems_total"
        return self._registry.get_sample_value(name, {"problem": problem})

    def series(self) -> int:
        return sum(len(family.samples) for family in self._registry.collect())


@pytest.fixture
def counted() -> Counted:
    return Counted()


def client(bench: Bench, counted: Counted, serving: ServingSettings = SERVING) -> Client:
    return Client(bench, serving, counted.measure)


def test_every_request_is_counted_by_interface_route_and_outcome(
    bench: Bench, counted: Counted
) -> None:
    asking = client(bench, counted)
    for _ in range(2):
        asking.post("/v1/recommend", json={"user_id": 1})
    asking.post("/v1/recommend", json={"user_id": None})
    asking.get("/v1/recommend")
    asking.get("/healthz")
    asking.get("/v1/admin/status")
    asking.get("/docs")
    assert counted.requests("http", "recommend", "answered") == 2
    assert counted.requests("http", "recommend", "refused") == 2
    assert counted.requests("http", "healthz", "answered") == 1
    assert counted.requests("http", "status", "refused") == 1
    codes = {code: counted.responses("http", code) for code in ("200", "401", "405", "422")}
    assert codes == {"200": 3, "401": 1, "405": 1, "422": 1}
    assert (counted.problems("bad-request"), counted.problems("method-not-allowed")) == (1, 1)


def test_a_fault_of_ours_is_told_from_a_refusal(bench: Bench, counted: Counted) -> None:
    def fail() -> None:
        raise StateFormatError("sequence format 1 expected, found 2")

    bench.on_read = fail
    client(bench, counted).post("/v1/recommend", json={"user_id": 1})
    full = SERVING.model_copy(update={"max_ongoing": 0})
    client(bench, counted, full).post("/v1/recommend", json={"user_id": 1})
    assert counted.requests("http", "recommend", "failed") == 1
    assert counted.requests("http", "recommend", "refused") == 1
    assert counted.responses("http", "503") == 2
    assert (counted.problems("state-unreadable"), counted.problems("overloaded")) == (1, 1)


def test_what_an_alert_waits_for_is_there_at_zero(counted: Counted) -> None:
    kinds = ("internal", "state-unreadable", "overloaded", "timed-out", "no-version-yet")
    assert [counted.problems(kind) for kind in kinds] == [0.0] * len(kinds)


def test_addresses_that_nobody_knows_make_no_series_of_their_own(
    bench: Bench, counted: Counted
) -> None:
    asking = client(bench, counted)
    asking.get("/first")
    before = counted.series()
    for number in range(20):
        asking.get(f"/v1/recommend/{number}")
    assert counted.series() == before
    assert counted.requests("http", "other", "refused") == 21
