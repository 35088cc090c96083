"""What HAProxy does with connections and requests by our rules, tried on HAProxy itself."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import msgspec
import pytest

from everfresh.serving.ray.door_rules import LONGEST_HEAD
from everfresh.serving.rpc import recommender_pb2 as pb
from everfresh.serving.rpc.recommender_pb2_grpc import RecommenderStub
from tests.rpc_channel import open_channel
from tests.serving.ray.front_door import (
    BODY_BYTES,
    DyingServer,
    FrontDoor,
    RpcServer,
    WebServer,
    frame,
    grpc_head,
)

pytestmark = pytest.mark.process
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0, b"")


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FrontDoor]:
    door = FrontDoor(tmp_path_factory.mktemp("d"))
    yield door
    door.close()


@pytest.fixture(scope="module")
def web() -> Iterator[WebServer]:
    server = WebServer("a replica")
    yield server
    server.close()


@pytest.fixture(scope="module")
def rpc() -> Iterator[RpcServer]:
    server = RpcServer("a replica")
    yield server
    server.close()


@pytest.fixture
def door(closed: FrontDoor, web: WebServer, rpc: RpcServer) -> FrontDoor:
    """Open before one server of each kind."""
    closed.open(http=[web.port], grpc=[rpc.port])
    return closed


def ask(line: http.client.HTTPConnection) -> tuple[int, bytes]:
    line.request("POST", "/v1/recommend", b"{}")
    answer = line.getresponse()
    return answer.status, answer.read()


def said(port: int, raw: bytes) -> bytes:
    """All that comes back until the door closes the connection."""
    with socket.create_connection(("127.0.0.1", port), timeout=240) as line:
        line.sendall(raw)
        return b"".join(iter(lambda: line.recv(65_536), b""))


def problem(raw: bytes) -> tuple[int, str]:
    """Status and kind of the problem document that an HTTP answer is."""
    head, _, body = raw.partition(b"\r\n\r\n")
    assert b"\r\ncontent-type: application/problem+json" in head
    document = msgspec.json.decode(body)
    assert head.split(b" ")[1] == b"%d" % document["status"]
    return document["status"], document["type"].removeprefix("urn:everfresh:problem:")


def message(length: int) -> pb.ScoreRequest:
    """One that takes so many bytes, as few or many as a field's own."""
    empty = pb.ScoreRequest(request_id="x" * length).ByteSize() - length
    return pb.ScoreRequest(request_id="x" * (length - empty))


def test_idle_connections_outlive_all_replicas_that_were_there_when_they_were_opened(
    closed: FrontDoor,
) -> None:
    # More than HAProxy tries again, so that none of its tries reaches a living one by chance.
    olds, new = [WebServer("old") for _ in range(5)], WebServer("new")
    old_rpc, new_rpc = RpcServer("old"), RpcServer("new")
    closed.open(http=[old.port for old in olds], grpc=[old_rpc.port])
    pool = [closed.connect() for _ in range(12)]
    assert {ask(line) for line in pool} == {(200, b"old")}
    with open_channel(f"127.0.0.1:{closed.grpc}") as channel:
        stub = RecommenderStub(channel)
        assert stub.Version(pb.VersionRequest(), timeout=240).replica == "old"
        for old in (*olds, old_rpc):
            old.close()
        closed.open(http=[new.port], grpc=[new_rpc.port])
        with ThreadPoolExecutor(len(pool)) as threads:
            assert set(threads.map(ask, pool)) == {(200, b"new")}
        assert stub.Version(pb.VersionRequest(), timeout=240).replica == "new"
    new.close()
    new_rpc.close()


@pytest.mark.parametrize("length", [20, 20_000, BODY_BYTES])
def test_a_request_that_its_replica_died_of_is_asked_again_of_another(
    closed: FrontDoor, web: WebServer, length: int
) -> None:
    with DyingServer() as dying:
        closed.open(http=[dying.port, web.port])
        before = len(web.taken)
        # HAProxy takes the one that was idle for longest: the dying one sooner or later.
        for _ in range(10):
            with socket.create_connection(("127.0.0.1", closed.http), timeout=240) as line:
                # Head and body in pieces of their own, as most clients send them.
                line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                line.sendall(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % length)
                line.sendall(bytes(length))
                assert line.recv(100).startswith(b"HTTP/1.1 200")
        assert dying.requests
        assert web.taken[before:] == 10 * [length]


@pytest.mark.parametrize("length", [20, 20_000, BODY_BYTES])
def test_a_call_that_its_replica_died_of_is_asked_again_of_another(
    closed: FrontDoor, rpc: RpcServer, length: int
) -> None:
    with DyingServer() as dying, open_channel(f"127.0.0.1:{closed.grpc}") as channel:
        closed.open(grpc=[dying.port, rpc.port])
        before, stub = len(rpc.taken), RecommenderStub(channel)
        for _ in range(10):
            stub.Score(message(length), timeout=240)
        assert dying.calls
        assert rpc.taken[before:] == 10 * [length]


@pytest.mark.parametrize("raw", [b"", b"GET / HTTP/1.1\r\nhost: x\r\nx-a: "])
def test_a_head_that_does_not_come_ends_its_connection(door: FrontDoor, raw: bytes) -> None:
    assert said(door.http, raw).startswith(b"HTTP/1.1 408" if raw else b"")


@pytest.mark.parametrize("method", [b"GET", b"POST", b"PUT"])
@pytest.mark.parametrize("length", [b"content-length: 20", b"transfer-encoding: chunked"])
def test_a_body_that_does_not_come_ends_its_connection_and_no_replica_waits_for_it(
    door: FrontDoor, web: WebServer, method: bytes, length: bytes
) -> None:
    before = len(web.taken)
    raw = said(door.http, method + b" / HTTP/1.1\r\nhost: x\r\n" + length + b"\r\n\r\n4\r\nab")
    assert problem(raw) == (408, "body-too-slow")
    assert len(web.taken) == before


@pytest.mark.parametrize("raw", [b"", PREFACE[:10], PREFACE, PREFACE + grpc_head()[:20]])
def test_a_grpc_connection_without_a_call_ends(door: FrontDoor, raw: bytes) -> None:
    said(door.grpc, raw)


def test_a_call_whose_message_does_not_come_ends_and_no_replica_waits_for_it(
    door: FrontDoor, rpc: RpcServer
) -> None:
    before = len(rpc.taken)
    with socket.create_connection(("127.0.0.1", door.grpc), timeout=240) as line:
        line.sendall(PREFACE + grpc_head() + frame(0, 0, 1, b"\0\0"))
        raw = b""
        while b"serving.timeout_ms" not in raw:
            raw += line.recv(65_536)
    assert b"application/grpc" in raw or b"grpc-status" in raw
    assert len(rpc.taken) == before


def test_a_client_that_never_reads_loses_its_connection(closed: FrontDoor) -> None:
    large = WebServer("x" * 50_000_000)
    closed.open(http=[large.port])
    with socket.create_connection(("127.0.0.1", closed.http), timeout=240) as line:
        line.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        assert large.ended.acquire(timeout=240), "HAProxy gave the answer up"
        taken = len(b"".join(iter(lambda: line.recv(1_000_000), b"")))
    assert taken < 50_000_000
    large.close()


CHUNK = b"10000\r\n" + bytes(65_536) + b"\r\n"


@pytest.mark.parametrize(
    "rest",
    [
        b"content-length: %d\r\n\r\n" % (BODY_BYTES + 1),
        b"content-length: 99999999999\r\n\r\n",
        b"transfer-encoding: chunked\r\n\r\n" + 4 * CHUNK + b"1\r\nx\r\n0\r\n\r\n",
        b"transfer-encoding: chunked\r\n\r\n" + 6 * CHUNK,
    ],
)
def test_a_body_that_is_too_long_is_refused_before_a_replica_sees_it(
    door: FrontDoor, web: WebServer, rest: bytes
) -> None:
    before = len(web.taken)
    assert problem(said(door.http, b"POST / HTTP/1.1\r\nhost: x\r\n" + rest)) == (413, "too-large")
    assert len(web.taken) == before


def test_the_longest_head_and_body_are_taken_together(door: FrontDoor, web: WebServer) -> None:
    line = f"POST /{'p' * (LONGEST_HEAD - 10)} HTTP/1.1\r\n"
    head = f"host: x\r\nconnection: close\r\nx-a: {'a' * (LONGEST_HEAD - 100)}\r\n"
    raw = f"{line}{head}content-length: {BODY_BYTES}\r\n\r\n".encode() + bytes(BODY_BYTES)
    assert said(door.http, raw).startswith(b"HTTP/1.1 200")
    assert web.taken[-1] == BODY_BYTES


@pytest.mark.parametrize(
    ("address", "headers", "status"),
    [
        ("/", f"x-a: {'a' * LONGEST_HEAD}\r\n", b"431"),
        (f"/{'p' * LONGEST_HEAD}", "", b"431"),
        ("/", "x-a: a\r\n" * 10_000, b"400"),
        ("/", f"x-a: {'a' * 1_000_000}\r\n", b"400"),
    ],
)
def test_a_head_that_is_too_long_is_refused(
    door: FrontDoor, web: WebServer, address: str, headers: str, status: bytes
) -> None:
    before = len(web.taken)
    raw = f"GET {address} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}\r\n".encode()
    assert said(door.http, raw).startswith(b"HTTP/1.1 " + status)
    assert len(web.taken) == before


@pytest.mark.parametrize(
    ("line", "passes"),
    [
        (b"x-request-id: mine", True),
        (b"x-request-id: \xff", False),
        (b"x-request-timeout-seconds: 0.000001", False),
        (b"X-Request-Disconnect-Disabled: ?1", False),
        (b"serve_multiplexed_model_id: a", False),
        (b"x-session-id: \xff", False),
    ],
)
def test_headers_that_have_ray_do_other_than_we_say_reach_no_replica(
    door: FrontDoor, web: WebServer, line: bytes, passes: bool
) -> None:
    head = b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n"
    assert said(door.http, head + line + b"\r\n\r\n").startswith(b"HTTP/1.1 200")
    name = line.partition(b":")[0].decode().lower()
    assert (name in web.heads[-1]) is passes


def test_a_message_that_is_too_long_is_refused_before_a_replica_sees_it(
    door: FrontDoor, rpc: RpcServer
) -> None:
    before = len(rpc.taken)
    with open_channel(f"127.0.0.1:{door.grpc}") as channel:
        stub = RecommenderStub(channel)
        for length in (BODY_BYTES + 1, 24_000_000):
            with pytest.raises(grpc.RpcError) as caught:
                stub.Score(message(length), timeout=240)
            assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
            assert "serving.max_body_bytes" in caught.value.details()
        stub.Score(message(BODY_BYTES), timeout=240)
    assert rpc.taken[before:] == [BODY_BYTES]


def test_errors_of_the_door_are_problem_documents_and_grpc_statuses(closed: FrontDoor) -> None:
    closed.open(http=[1], grpc=[1])
    raw = said(closed.http, b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
    assert problem(raw) == (503, "no-replica")
    assert b"retry-after: 1\r\n" in raw
    with (
        open_channel(f"127.0.0.1:{closed.grpc}") as channel,
        pytest.raises(grpc.RpcError) as caught,
    ):
        RecommenderStub(channel).Version(pb.VersionRequest(), timeout=240)
    assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
    assert "try again" in caught.value.details()

    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes requests, says nothing
        closed.open(http=[silent.getsockname()[1]])
        raw = said(closed.http, b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
    assert problem(raw) == (504, "no-replica")
