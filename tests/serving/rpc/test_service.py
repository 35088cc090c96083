"""The gRPC door over a real socket: the same answers as HTTP's, problems as statuses."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import grpc
import pytest

from everfresh.contracts.errors import StateFormatError
from everfresh.contracts.experiments.assignment import Assignments
from everfresh.contracts.experiments.interleaving import Team
from everfresh.contracts.settings import ServingSettings, Settings
from everfresh.serving.recommend import Answer
from everfresh.serving.requests.admission import Admission
from everfresh.serving.rpc import recommender_pb2 as pb
from everfresh.serving.rpc.__main__ import generate
from everfresh.serving.rpc.recommender_pb2_grpc import RecommenderServicer, RecommenderStub
from everfresh.serving.rpc.registration import add_recommender_to_server
from everfresh.serving.rpc.service import RpcService
from tests.contracts.experiments.definitions import define
from tests.serving.http_client import SERVING, Client
from tests.serving.items.shop import change
from tests.serving.replica_in_memory import Bench

_Made = TypeVar("_Made")
ONE = pb.Id(number=1)


class Servicer(RecommenderServicer):  # type: ignore[misc]  # generated without types
    """As Ray calls the replica's methods."""

    def __init__(self, door: RpcService) -> None:
        self._door = door

    async def Recommend(self, request: Any, context: Any) -> Any:  # noqa: N802 - the service's
        return await self._door.recommend(request, context)

    async def Score(self, request: Any, context: Any) -> Any:  # noqa: N802
        return await self._door.score(request, context)

    async def Similar(self, request: Any, context: Any) -> Any:  # noqa: N802
        return await self._door.similar(request, context)

    async def Version(self, request: Any, context: Any) -> Any:  # noqa: N802
        return await self._door.version(request, context)


def call(
    bench: Bench, ask: Callable[[Any], Awaitable[_Made]], serving: ServingSettings = SERVING
) -> _Made:
    """What ``ask`` gets from a stub of a server on this bench's replica."""
    return call_raw(bench, lambda channel: ask(RecommenderStub(channel)), serving)


def call_raw(
    bench: Bench, ask: Callable[[Any], Awaitable[_Made]], serving: ServingSettings = SERVING
) -> _Made:
    """As above, from a channel."""

    async def run() -> _Made:
        gate = Admission(serving.max_ongoing, serving.timeout_ms, bench.clock)
        door = RpcService(bench.replica, gate, bench.clock, Settings(serving=serving))
        server = grpc.aio.server()
        add_recommender_to_server(Servicer(door), server)
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        try:
            async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
                return await ask(channel)
        finally:
            await server.stop(0)

    return asyncio.run(run())


def refused(
    bench: Bench, ask: Callable[[Any], Awaitable[Any]], serving: ServingSettings = SERVING
) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        call(bench, ask, serving)
    return caught.value.code(), caught.value.details() or ""


def plain(said: pb.Id) -> int | str:
    kind = said.WhichOneof("kind")
    value: int | str = getattr(said, kind)
    return value


def test_a_recommendation_is_the_same_as_over_http(bench: Bench, client: Client) -> None:
    asked = pb.RecommendRequest(
        user_id=ONE,
        k=4,
        exclude=[pb.Id(number=9), pb.Id(text="nine")],
        allow=pb.Ids(ids=[pb.Id(number=n) for n in range(1, 12)]),
        events=[pb.Event(item_id=pb.Id(number=2), type="view", time=77, value=1.5)],
        request_id="home-1",
    )
    answer = call(bench, lambda stub: stub.Recommend(asked))
    body = {
        "user_id": 1,
        "k": 4,
        "exclude": [9, "nine"],
        "allow": list(range(1, 12)),
        "events": [{"item_id": 2, "type": "view", "time": 77, "value": 1.5}],
        "request_id": "home-1",
    }
    wanted = client.post("/v1/recommend", json=body).json()
    assert [plain(scored.item_id) for scored in answer.items] == wanted["items"]
    assert [scored.score for scored in answer.items] == pytest.approx(wanted["scores"])
    for name in ("request_id", "version", "epoch", "arm", "track", "source", "request_events"):
        assert getattr(answer, name) == wanted[name]
    for name in ("experiment", "definition_version", "probability"):
        assert not answer.HasField(name)
    assert (answer.state_partition, answer.state_offset) == (0, 7)
    assert not answer.HasField("note")
    assert [shown.request_id for shown in bench.exposures.exposures] == ["home-1", "home-1"]


def test_an_experiment_is_named_as_over_http(bench: Bench, client: Client) -> None:
    bench.assigner.assignments = Assignments([(17, define())])
    for user in range(1, 20):
        asked = pb.RecommendRequest(user_id=pb.Id(number=user))
        answer = call(bench, lambda stub, asked=asked: stub.Recommend(asked))
        wanted = client.post("/v1/recommend", json={"user_id": user}).json()
        for name in ("experiment", "arm", "track", "definition_version", "probability"):
            assert getattr(answer, name) == wanted[name]
        assert (answer.experiment, answer.definition_version) == ("green", 17)


def test_rules_are_obeyed_and_told_as_over_http(bench: Bench, client: Client) -> None:
    bench.catalogue.apply(
        [change(n, even=n % 2 == 0, rank=n, kind="ab"[n % 2]) for n in range(1, 31)], 30
    )
    filters = [
        pb.Filter(attribute="even", equals=pb.Value(logical=True)),
        pb.Filter(attribute="rank", at_least=3, at_most=20),
        pb.Filter(
            any=[pb.Filter(attribute="kind", any_of=[pb.Value(text="a"), pb.Value(number=1)])]
        ),
        pb.Filter(none=[pb.Filter(attribute="rank", equals=pb.Value(number=8))]),
    ]
    rules = pb.Rules(
        filter=pb.Filter(all=filters),
        boosts=[pb.Boost(filter=filters[1], add=0.5)],
        at_most=[pb.Cap(attribute="kind", n=4)],
        mmr_lambda=0.9,
        pins=[pb.Pin(item_id=pb.Id(text="p"), position=2)],
    )
    asked = pb.RecommendRequest(user_id=ONE, rules=rules, attributes=["even", "kind", "rank"])
    answer = call(bench, lambda stub: stub.Recommend(asked))
    said = {
        "filter": {
            "all": [
                {"attribute": "even", "equals": True},
                {"attribute": "rank", "at_least": 3.0, "at_most": 20.0},
                {"any": [{"attribute": "kind", "any_of": ["a", 1.0]}]},
                {"none": [{"attribute": "rank", "equals": 8.0}]},
            ]
        },
        "boosts": [{"filter": {"attribute": "rank", "at_least": 3.0, "at_most": 20.0}, "add": 0.5}],
        "at_most": [{"attribute": "kind", "n": 4}],
        "mmr_lambda": 0.9,
        "pins": [{"item_id": "p", "position": 2}],
    }
    body = client.post("/v1/recommend", json={"user_id": 1, "rules": said}).json()
    items = [getattr(each.item_id, each.item_id.WhichOneof("kind")) for each in answer.items]
    assert items == body["items"]
    assert len(items) == 5
    told = answer.items[0].attributes
    values = {name: [getattr(v, v.WhichOneof("kind")) for v in told[name].values] for name in told}
    assert values == {"even": [True], "kind": ["a"], "rank": [float(items[0])]}
    for name in ("items_offset", "rules", "pinned", "shortfall"):
        assert getattr(answer, name) == body[name]
    assert answer.shortfall


@pytest.mark.parametrize(
    ("rules", "why"),
    [
        (pb.Rules(filter=pb.Filter()), "a filter has one of attribute"),
        (pb.Rules(filter=pb.Filter(attribute="a", equals=pb.Value())), "found 0 of them"),
        (pb.Rules(filter=pb.Filter(all=[pb.Filter()] * 100)), "rules have at most 100 filters"),
        (
            pb.Rules(filter=pb.Filter(any_of=[pb.Value()] * 1_001)),
            "at most 1000 values, found 1001",
        ),
        (pb.Rules(pins=[pb.Pin(position=1)]), "pins"),
    ],
)
def test_rules_that_cannot_be_meant_are_invalid_arguments(
    rules: Any, why: str, bench: Bench
) -> None:
    asked = pb.RecommendRequest(user_id=ONE, rules=rules)
    with pytest.raises(grpc.RpcError) as caught:
        call(bench, lambda stub: stub.Recommend(asked))
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert why in caught.value.details()


def test_an_arm_is_refused_where_requests_name_none(bench: Bench) -> None:
    asked = pb.ScoreRequest(user_id=ONE, items=[pb.Id(number=4)], arm="treatment")
    code, details = refused(bench, lambda stub: stub.Score(asked))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert "no request names its arm here" in details


def test_absent_fields_have_https_defaults(bench: Bench) -> None:
    asked = pb.RecommendRequest(user_id=pb.Id(text="who"))
    answer = call(bench, lambda stub: stub.Recommend(asked))
    assert len(answer.items) == 10
    assert answer.source == "popular"
    assert answer.note
    assert not answer.HasField("state_offset")
    assert plain(answer.user_id) == "who"


def test_candidates_are_scored_and_unknown_ones_have_no_score(bench: Bench) -> None:
    asked = pb.ScoreRequest(user_id=ONE, items=[pb.Id(number=4), pb.Id(text="?")])
    answer = call(bench, lambda stub: stub.Score(asked))
    assert [plain(scored.item_id) for scored in answer.items] == [4, "?"]
    assert [scored.HasField("score") for scored in answer.items] == [True, False]


def test_neighbours_and_the_version_are_told(bench: Bench) -> None:
    asked = pb.SimilarRequest(item_id=pb.Id(number=3), k=4)
    near = call(bench, lambda stub: stub.Similar(asked))
    assert len(near.items) == 4
    assert near.version == 1
    bench.replica.stop()
    read_ms = bench.replica.follower().read_ms
    bench.clock.advance(40)
    live = call(bench, lambda stub: stub.Version(pb.VersionRequest()))
    assert live.version_age_ms == bench.clock() - 1
    assert live.pointer_age_ms == bench.clock() - (read_ms or 0)
    assert (live.version, live.epoch, live.replica, live.items) == (1, 0, "replica-a", 31)


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        (pb.RecommendRequest(), "user_id"),
        (pb.RecommendRequest(user_id=pb.Id(text="")), "user_id"),
        (pb.RecommendRequest(user_id=ONE, k=0), "k"),
        (pb.RecommendRequest(user_id=ONE, k=21), "k"),
        (pb.RecommendRequest(user_id=ONE, exclude=[pb.Id()]), "exclude"),
        (pb.RecommendRequest(user_id=ONE, events=[pb.Event(item_id=ONE, type="x")]), "events"),
    ],
)
def test_a_wrong_field_is_an_invalid_argument_that_names_it(
    bench: Bench, asked: pb.RecommendRequest, field: str
) -> None:
    code, details = refused(bench, lambda stub: stub.Recommend(asked))
    assert code == grpc.StatusCode.INVALID_ARGUMENT
    assert details.startswith(f"{field}: ")
    assert bench.exposures.exposures == []


@pytest.mark.parametrize("method", ["Recommend", "Score", "Similar", "Version"])
@pytest.mark.parametrize("raw", [b"\xff\xff\xff", b"GET / HTTP/1.1", b"\x0a\x05\x12"])
def test_bytes_that_are_no_message_are_an_invalid_argument_in_plain_words(
    bench: Bench, method: str, raw: bytes
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        call_raw(bench, lambda ch: ch.unary_unary(f"/everfresh.v1.Recommender/{method}")(raw))
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert caught.value.details() == (
        f"message: these bytes are no everfresh.v1.{method}Request; use the recommender.proto of "
        "this release"
    )


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        (pb.RecommendRequest(user_id=ONE, exclude=[pb.Id()] * 41), "exclude"),
        (pb.RecommendRequest(user_id=ONE, allow=pb.Ids(ids=[pb.Id()] * 41)), "allow"),
        (pb.RecommendRequest(user_id=ONE, events=[pb.Event()] * 4), "events"),
    ],
)
def test_a_list_that_is_too_long_is_refused_before_its_entries_are_read(
    bench: Bench, asked: pb.RecommendRequest, field: str
) -> None:
    code, details = refused(bench, lambda stub: stub.Recommend(asked))
    assert code == grpc.StatusCode.INVALID_ARGUMENT
    assert details.startswith(f"{field}: at most ")


def test_what_a_caller_sent_is_quoted_only_so_far(bench: Bench) -> None:
    long = pb.Event(item_id=ONE, type="x" * 3_000)
    asked = pb.RecommendRequest(user_id=ONE, events=[long])
    code, details = refused(bench, lambda stub: stub.Recommend(asked))
    assert code == grpc.StatusCode.INVALID_ARGUMENT
    assert len(details) < 600


def test_problems_have_statuses_of_their_own(bench: Bench) -> None:
    unknown = pb.SimilarRequest(item_id=pb.Id(text="3"))
    assert refused(bench, lambda stub: stub.Similar(unknown))[0] == grpc.StatusCode.NOT_FOUND

    def unreadable() -> None:
        raise StateFormatError("sequence format 1 expected, found 2")

    bench.on_read = unreadable
    asked = pb.RecommendRequest(user_id=ONE)
    assert refused(bench, lambda stub: stub.Recommend(asked)) == (
        grpc.StatusCode.UNAVAILABLE,
        "sequence format 1 expected, found 2",
    )

    def broken() -> None:
        raise ZeroDivisionError("secret detail")

    bench.on_read = broken
    code, details = refused(bench, lambda stub: stub.Recommend(asked))
    assert code == grpc.StatusCode.INTERNAL
    assert "secret" not in details


def test_a_call_is_as_long_as_a_request_over_http_may_be(bench: Bench) -> None:
    serving = SERVING.model_copy(update={"max_body_bytes": 2_000})
    long = pb.RecommendRequest(user_id=ONE, exclude=[pb.Id(text="x" * 100)] * 20)
    assert long.ByteSize() > 2_000
    assert refused(bench, lambda stub: stub.Recommend(long), serving) == (
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "A request has at most 2000 bytes (serving.max_body_bytes).",
    )
    assert call(bench, lambda stub: stub.Recommend(pb.RecommendRequest(user_id=ONE)), serving)


def test_before_the_first_version_calls_are_told_to_come_again() -> None:
    code, details = refused(Bench(), lambda stub: stub.Version(pb.VersionRequest()))
    assert code == grpc.StatusCode.UNAVAILABLE
    assert "try again" in details


class Said:
    """A call's context that keeps what it is told."""

    def __init__(self) -> None:
        self.code: grpc.StatusCode | None = None

    def set_code(self, code: grpc.StatusCode) -> None:
        self.code = code

    def set_details(self, details: str) -> None:
        assert details


def test_calls_on_top_of_the_limit_are_refused(bench: Bench) -> None:
    door = RpcService(bench.replica, Admission(2, 1_000, bench.clock), bench.clock, Settings())
    contexts = [Said() for _ in range(3)]

    async def together() -> None:
        asked = pb.RecommendRequest(user_id=ONE)
        await asyncio.gather(*(door.recommend(asked, context) for context in contexts))

    asyncio.run(together())
    exhausted = grpc.StatusCode.RESOURCE_EXHAUSTED
    assert [context.code for context in contexts] == [None, None, exhausted]
    assert len(bench.exposures.exposures) == 2


def test_calls_are_counted_as_requests_are(bench: Bench) -> None:
    told: list[tuple[str, str, str, str]] = []

    def measure(interface: str, route: str, code: str, problem: str, seconds: float) -> None:
        assert seconds > 0
        told.append((interface, route, code, problem))

    admission = Admission(2, 1_000, bench.clock)
    door = RpcService(bench.replica, admission, bench.clock, Settings(), measure)

    async def ask() -> None:
        await door.recommend(pb.RecommendRequest(user_id=ONE), Said())
        await door.score(pb.ScoreRequest(user_id=ONE), Said())
        await door.similar(pb.SimilarRequest(item_id=pb.Id(text="none")), Said())
        await door.version(pb.VersionRequest(), Said())

    asyncio.run(ask())
    assert told == [
        ("grpc", "recommend", "OK", ""),
        ("grpc", "score", "INVALID_ARGUMENT", "bad-request"),
        ("grpc", "similar", "NOT_FOUND", "unknown-item"),
        ("grpc", "version", "OK", ""),
    ]


@pytest.mark.process
def test_the_generated_code_is_what_the_description_says(tmp_path: Path) -> None:
    generate(tmp_path)
    here = Path(pb.__file__).parent
    made = sorted((tmp_path / "everfresh" / "serving" / "rpc").iterdir())
    assert len(made) == 3
    for module in made:
        assert module.read_text() == (here / module.name).read_text(), (
            "run `python -m everfresh.serving.rpc`"
        )


def test_messages_have_all_that_an_answer_says() -> None:
    in_items = {"scores", "attributes"}
    for struct, message in ((Answer, pb.Answer), (Team, pb.Team)):
        fields = {field.name for field in message.DESCRIPTOR.fields}
        assert fields == {*struct.__struct_fields__} - in_items
