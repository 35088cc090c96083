from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind, StatusCode

from everfresh.contracts.experiments.definition import DEFAULT
from everfresh.contracts.settings import Settings
from everfresh.serving.recommend import SimilarAnswer
from everfresh.serving.requests.admission import Admission
from everfresh.serving.rpc import recommender_pb2 as pb
from everfresh.serving.rpc.service import RpcService
from tests.adapters.observe.tracing.recorded import (
    SPAN,
    TRACE,
    Recorded,
    ids,
    linked,
    traceparent,
)
from tests.serving.http_client import Client
from tests.serving.replica_in_memory import Bench, publish

ASKED = {"traceparent": traceparent().decode()}
NOT_SAMPLED = {"traceparent": traceparent(flags=0).decode()}


class Context:
    """A call with these headers."""

    def __init__(self, **headers: str) -> None:
        self._headers = headers

    def set_code(self, code: Any) -> None: ...

    def set_details(self, details: str) -> None: ...

    def invocation_metadata(self) -> list[tuple[str, str | bytes]]:
        return [*self._headers.items(), ("key-bin", b"\x00")]


@pytest.fixture
def recorded() -> Recorded:
    return Recorded()


@pytest.fixture
def bench(recorded: Recorded) -> Bench:
    bench = Bench(spans=recorded.spans)
    publish(bench.store, 1)
    bench.replica.start()
    bench.replica.stop()
    return bench


def told(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def version_of(recorded: Recorded, label: int, version: int, track: str = DEFAULT) -> Any:
    return ids(recorded.spans.version((label, 0), track, version))


def test_a_version_that_goes_live_is_a_span_of_its_window(recorded: Recorded, bench: Bench) -> None:
    span = recorded.one("take over")
    assert ids(span.parent) == version_of(recorded, 101, 1)
    assert told(span) == {
        "everfresh.track": "default",
        "everfresh.version": 1,
        "everfresh.epoch": 0,
    }


def test_an_answer_over_http_stands_in_the_trace_that_asked(
    recorded: Recorded, bench: Bench
) -> None:
    Client(bench).post("/v1/recommend", json={"user_id": 1}, headers=ASKED)
    span = recorded.one("POST /v1/recommend")
    assert (ids(span.parent), span.kind) == ((TRACE, SPAN), SpanKind.SERVER)
    assert linked(span) == [version_of(recorded, 101, 1)]
    assert told(span) == {
        "http.request.method": "POST",
        "http.response.status_code": 200,
        "http.route": "/v1/recommend",
        "url.path": "/v1/recommend",
        "url.scheme": "http",
        "everfresh.version": 1,
        "everfresh.epoch": 0,
        "everfresh.track": "default",
        "everfresh.source": "popular",
    }


@pytest.mark.parametrize("headers", [{}, NOT_SAMPLED, {"traceparent": "x" * 5_000}])
def test_a_request_that_is_not_traced_leaves_no_span(
    headers: dict[str, str], recorded: Recorded, bench: Bench
) -> None:
    before = recorded.all()
    answered = Client(bench).post("/v1/recommend", json={"user_id": 1}, headers=headers)
    assert answered.status_code == 200
    assert recorded.all() == before


def test_scores_and_neighbours_link_to_their_version(recorded: Recorded, bench: Bench) -> None:
    client = Client(bench)
    client.post("/v1/score", json={"user_id": 1, "items": [1, 2]}, headers=ASKED)
    client.post("/v1/similar", json={"item_id": 1}, headers=ASKED)
    for path in ("/v1/score", "/v1/similar"):
        assert linked(recorded.one(f"POST {path}")) == [version_of(recorded, 101, 1)]


def test_a_request_that_is_refused_says_why_and_claims_no_version(
    recorded: Recorded, bench: Bench
) -> None:
    client = Client(bench)
    client.post("/v1/recommend", json={"user_id": 1}, headers=ASKED)
    client.post("/v1/recommend", json={"k": 0}, headers=ASKED)
    client.post("/v1/nothing", json={}, headers=ASKED)
    wrong = recorded.named("POST /v1/recommend")[1]
    assert told(wrong)["error.type"] == "bad-request"
    assert told(wrong)["http.response.status_code"] == 422
    assert (wrong.status.status_code, wrong.links) == (StatusCode.UNSET, ())
    assert "http.route" not in told(recorded.one("POST"))


def test_a_span_tells_nothing_of_the_request_before(recorded: Recorded, bench: Bench) -> None:
    """Requests of one connection may be worked on in one task."""
    spans, headers = bench.spans, [(b"traceparent", traceparent())]
    assert spans is not None
    spans.answered(SimilarAnswer(1, [], [], 1, 0))
    for _ in range(2):
        spans.http(headers, "POST", "/v1/similar", 200, "", 0.001)
    first, second = recorded.named("POST /v1/similar")
    assert "everfresh.version" in told(first)
    assert ("everfresh.version" in told(second), second.links) == (False, ())


def test_a_fault_on_this_side_is_an_error(recorded: Recorded) -> None:
    bench = Bench(spans=recorded.spans)
    bench.replica.start()
    bench.replica.stop()
    Client(bench).post("/v1/recommend", json={"user_id": 1}, headers=ASKED)
    span = recorded.one("POST /v1/recommend")
    assert span.status.status_code == StatusCode.ERROR
    assert told(span)["error.type"] == "no-version-yet"


def test_an_answer_over_grpc_stands_in_the_trace_that_asked(
    recorded: Recorded, bench: Bench
) -> None:
    admission = Admission(2, 1_000, bench.clock)
    service = RpcService(bench.replica, admission, bench.clock, Settings(), spans=bench.spans)
    asked = pb.RecommendRequest(user_id=pb.Id(number=1), k=3)
    asyncio.run(service.recommend(asked, Context(**ASKED)))
    asyncio.run(service.recommend(asked, Context()))
    span = recorded.one("everfresh.v1.Recommender/Recommend")
    assert (ids(span.parent), linked(span)) == ((TRACE, SPAN), [version_of(recorded, 101, 1)])
    attributes = told(span)
    assert attributes["rpc.system.name"] == "grpc"
    assert attributes["rpc.method"] == "everfresh.v1.Recommender/Recommend"
    assert attributes["rpc.response.status_code"] == "OK"


def test_the_method_that_a_span_names_is_one_of_the_service() -> None:
    service = pb.DESCRIPTOR.services_by_name["Recommender"]
    assert service.full_name == "everfresh.v1.Recommender"
    assert {"Recommend", "Score", "Similar", "Version"} == {each.name for each in service.methods}


def test_a_version_that_was_copied_is_linked_where_it_was_trained(recorded: Recorded) -> None:
    bench = Bench(spans=recorded.spans)
    publish(bench.store, 1)
    manifest = bench.store.manifest(1)
    copied = msgspec.structs.replace(manifest, origin="fast:57")
    assert bench.spans is not None
    bench.replica.start()
    bench.replica.stop()
    loaded = bench.replica.current()
    assert loaded is not None
    bench.spans.live(DEFAULT, msgspec.structs.replace(loaded, manifest=copied), 0)
    span = recorded.named("take over")[-1]
    assert ids(span.parent) == version_of(recorded, 101, 57, "fast")


def test_versions_that_answers_link_to_are_bounded(recorded: Recorded, bench: Bench) -> None:
    loaded = bench.replica.current()
    assert loaded is not None
    assert bench.spans is not None
    for number in range(600):
        manifest = msgspec.structs.replace(loaded.manifest, version=number)
        live = msgspec.structs.replace(loaded, version=number, manifest=manifest)
        bench.spans.live(DEFAULT, live, 0)
    assert len(bench.spans._versions) == 256
