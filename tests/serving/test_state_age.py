"""State that is stale, elsewhere or behind: what answers, health and refusals say of it."""

from __future__ import annotations

import asyncio
import time

import grpc
import httpx
import msgspec
import pytest

from everfresh.contracts.errors import StateElsewhere
from everfresh.contracts.manifest import Pointer
from everfresh.contracts.sequence import META_KEY, PartitionMeta
from everfresh.contracts.settings import ServingSettings, Settings
from everfresh.serving.history.arrival import StateArrival
from everfresh.serving.rpc import recommender_pb2 as pb
from tests.serving.http_client import Client, assert_problem
from tests.serving.replica_in_memory import PARTITION, STALE_AFTER_MS, Bench, publish
from tests.serving.rpc.test_service import ONE, call, refused

OFFSET = 7  # of the bench's user's last event


def fall_behind(bench: Bench, age_ms: int) -> None:
    bench.state.fresh_ms[PARTITION] = bench.clock() - age_ms


def reach(bench: Bench, applied: int) -> None:
    meta = msgspec.msgpack.decode(bench.pairs[META_KEY], type=PartitionMeta)
    meta = msgspec.structs.replace(meta, applied=applied)
    bench.pairs[META_KEY] = msgspec.msgpack.encode(meta)


def wait_for(bench: Bench, version: int) -> None:
    until = time.monotonic() + 240.0  # for what never comes
    while bench.live() != version:
        assert time.monotonic() < until, bench.live()
        time.sleep(0.001)


def test_an_answer_from_a_stale_state_says_how_old_it_is(bench: Bench, client: Client) -> None:
    bench.clock.advance(10**6)
    for age_ms, said in ((STALE_AFTER_MS, None), (STALE_AFTER_MS + 5, STALE_AFTER_MS + 5)):
        fall_behind(bench, age_ms)
        ask = {"user_id": 1, "items": [2]}
        for path, body in (("/v1/recommend", {"user_id": 1}), ("/v1/score", ask)):
            response = client.post(path, json=body)
            assert (response.status_code, response.json()["state_age_ms"]) == (200, said)
        answer = call(bench, lambda stub: stub.Recommend(pb.RecommendRequest(user_id=ONE)))
        assert answer.HasField("state_age_ms") == (said is not None)
        assert answer.state_age_ms == (said or 0)


def test_health_says_how_old_the_state_is_and_a_stale_one_keeps_no_replica_away(
    bench: Bench, client: Client
) -> None:
    bench.clock.advance(10**6)
    fall_behind(bench, 500_000)
    for path in ("/healthz", "/readyz"):
        response = client.get(path)
        assert (response.status_code, response.json()["state_age_ms"]) == (200, 500_000)
    figures = bench.replica.status().figures
    assert (figures["state_age_ms"], figures["state_missing"]) == (500_000, [])


def test_a_replica_whose_state_is_behind_follows_a_rollback(bench: Bench, client: Client) -> None:
    bench.clock.advance(10**6)
    publish(bench.store, 2)
    wait_for(bench, 2)
    fall_behind(bench, 500_000)
    assert client.post("/v1/recommend", json={"user_id": 1}).json()["version"] == 2
    bench.store.advance(Pointer(1, 1))
    wait_for(bench, 1)
    body = client.post("/v1/recommend", json={"user_id": 1}).json()
    assert (body["version"], body["epoch"], body["state_offset"]) == (1, 1, OFFSET)
    assert body["state_age_ms"] == 500_000


def test_a_user_whose_state_is_elsewhere_is_refused_and_counted_as_no_failure(
    bench: Bench, client: Client
) -> None:
    def elsewhere() -> None:
        raise StateElsewhere("this user's events are in partition 3")

    bench.on_read = elsewhere
    problem = assert_problem(
        client.post("/v1/recommend", json={"user_id": 1}), 503, "state-elsewhere"
    )
    assert problem["detail"] == "this user's events are in partition 3"
    code, _ = refused(bench, lambda stub: stub.Recommend(pb.RecommendRequest(user_id=ONE)))
    assert code == grpc.StatusCode.UNAVAILABLE
    assert bench.replica.status().figures["failed"] == 0


def test_who_has_written_reads_it(bench: Bench, client: Client) -> None:
    body = {"user_id": 1, "min_state_offset": OFFSET}
    assert client.post("/v1/recommend", json=body).json()["state_offset"] == OFFSET
    ask = pb.RecommendRequest(user_id=ONE, min_state_offset=OFFSET)
    assert call(bench, lambda stub: stub.Recommend(ask)).state_offset == OFFSET


@pytest.fixture
def impatient() -> ServingSettings:
    return ServingSettings(state_wait_ms=10)


def test_what_the_state_does_not_hold_in_time_is_refused_with_partition_and_offset(
    bench: Bench, impatient: ServingSettings
) -> None:
    said = (
        "min_state_offset asks for offset 8; the user's own partition is 0, whose state holds "
        "everything before offset 8 after 10 ms. Ask again, or send the event along in `events`."
    )
    client = Client(bench, impatient)
    for path, more in (("/v1/recommend", {}), ("/v1/score", {"items": [2]})):
        body = {"user_id": 1, "min_state_offset": OFFSET + 1, **more}
        response = client.post(path, json=body)
        assert assert_problem(response, 503, "state-behind")["detail"] == said
        assert response.headers["retry-after"]
    ask = pb.ScoreRequest(user_id=ONE, items=[ONE], min_state_offset=OFFSET + 1)
    code, detail = refused(bench, lambda stub: stub.Score(ask), impatient)
    assert (code, detail) == (grpc.StatusCode.UNAVAILABLE, said)


def test_where_no_state_is_here_it_is_refused_at_once(client: Client, bench: Bench) -> None:
    bench.pairs.clear()
    response = client.post("/v1/recommend", json={"user_id": 1, "min_state_offset": 0})
    assert (
        "no state is on this machine yet" in assert_problem(response, 503, "state-behind")["detail"]
    )


@pytest.mark.parametrize("wrong", [-1, 2**63, "7", 7.5, True])
def test_an_offset_that_is_none_is_a_bad_request(client: Client, wrong: object) -> None:
    for path, more in (("/v1/recommend", {}), ("/v1/score", {"items": [2]})):
        response = client.post(path, json={"user_id": 1, "min_state_offset": wrong, **more})
        assert "min_state_offset" in assert_problem(response, 422, "bad-request")["detail"]


def test_a_request_waits_until_the_state_holds_it_and_takes_nobodys_place(bench: Bench) -> None:
    patient = ServingSettings(state_wait_ms=3_600_000, max_ongoing=2)
    client = Client(bench, patient)

    async def ask() -> list[int]:
        transport = httpx.ASGITransport(client.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://a") as asked:
            body = {"user_id": 1, "min_state_offset": OFFSET + 3}
            waiting = [
                asyncio.ensure_future(asked.post("/v1/recommend", json=body)) for _ in range(2)
            ]
            while client.app._own_writes._waiting < 2:
                await asyncio.sleep(0)
            others = [await asked.post("/v1/recommend", json={"user_id": 1}) for _ in range(5)]
            one_too_many = await asked.post("/v1/recommend", json=body)
            assert_problem(one_too_many, 503, "state-behind")
            reach(bench, OFFSET + 4)
            return [each.status_code for each in (*others, *await asyncio.gather(*waiting))]

    assert asyncio.run(ask()) == [200] * 7


class Arriving:
    """A state that comes to a machine, as a replica that starts sees it."""

    def __init__(self) -> None:
        self.missing_now: list[int] | None = None
        self.age: int | None = None
        self.ticks = 0.0

    def missing(self) -> list[int] | None:
        return self.missing_now

    def age_ms(self) -> int | None:
        return self.age


@pytest.fixture
def arriving() -> tuple[Arriving, StateArrival]:
    state = Arriving()
    settings = Settings(follower={"enabled": True})
    return state, StateArrival(state, settings, lambda: state.ticks)  # type: ignore[arg-type]


def beside_a_worker(state: Arriving, wait_s: float = 10.0) -> StateArrival:
    settings = Settings(serving={"restore_wait_s": wait_s})
    return StateArrival(state, settings, lambda: state.ticks)  # type: ignore[arg-type]


def test_a_replica_joins_once_all_partitions_are_here_and_fresh(
    arriving: tuple[Arriving, StateArrival],
) -> None:
    state, arrival = arriving
    assert not arrival.is_over()
    state.missing_now, state.ticks = [1, 2], 1_000.0
    assert not arrival.is_over()
    state.missing_now = []
    assert not arrival.is_over()
    state.age = 200_000
    assert not arrival.is_over()
    state.age = 900
    assert arrival.is_over()


def test_a_replica_does_not_wait_for_ever_for_a_log_that_cannot_be_read(
    arriving: tuple[Arriving, StateArrival],
) -> None:
    state, arrival = arriving
    state.missing_now, state.age = [], 200_000
    assert not arrival.is_over()
    state.ticks = 9.9
    assert not arrival.is_over()
    state.ticks = 10.0
    assert arrival.is_over()


def test_beside_a_worker_a_replica_joins_once_all_partitions_were_up_to_the_log() -> None:
    state = Arriving()
    arrival = beside_a_worker(state)
    assert not arrival.is_over()
    state.missing_now = [1]
    assert not arrival.is_over()
    state.missing_now = []  # the log after the snapshot is still being replayed
    assert not arrival.is_over()
    state.age = 200_000  # it was up to the log before, and its worker is away: older beats none
    assert arrival.is_over()


@pytest.mark.parametrize("missing", [None, [1], []])
def test_beside_a_worker_a_replica_waits_only_so_long_for_users_state(
    missing: list[int] | None, caplog: pytest.LogCaptureFixture
) -> None:
    state = Arriving()
    state.missing_now = missing
    arrival = beside_a_worker(state)
    state.ticks = 9.9
    assert not arrival.is_over()
    state.ticks = 10.0
    assert arrival.is_over()
    assert "joins after 10 s without all of users' state" in caplog.text
    assert beside_a_worker(state, wait_s=0).is_over()
