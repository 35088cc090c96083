"""What the doors of replicas say that run behind a true HAProxy: HTTP's, gRPC's, and their own."""

from __future__ import annotations

import re
from pathlib import Path

import grpc
import httpx
import numpy as np
import pytest

from everfresh.serving.rpc import recommender_pb2 as pb
from everfresh.serving.rpc.recommender_pb2_grpc import RecommenderStub
from tests.integration.serving_run import TOKEN, USER, ServingRun
from tests.rpc_channel import open_channel


def assert_every_door_answers(client: httpx.Client, grpc_address: str, version: int) -> None:
    """gRPC through HAProxy says what HTTP says; the token opens the administrators' address."""
    items = [1, 2, 9]
    scored = client.post("/v1/score", json={"user_id": USER, "items": items}).json()
    near = client.post("/v1/similar", json={"item_id": 3, "k": 4}).json()
    with open_channel(grpc_address) as channel:
        stub = RecommenderStub(channel)
        ids = [pb.Id(number=item) for item in items]
        said = stub.Score(pb.ScoreRequest(user_id=pb.Id(text=USER), items=ids), timeout=240)
        assert (said.version, said.note) == (scored["version"], scored["note"] or ""), said
        assert np.allclose([item.score for item in said.items], scored["scores"], atol=1e-4)
        like = stub.Similar(pb.SimilarRequest(item_id=pb.Id(number=3), k=4), timeout=240)
        assert [item.item_id.number for item in like.items if item.item_id.number] == [
            item for item in near["items"] if isinstance(item, int)
        ]
        with pytest.raises(grpc.RpcError) as refused:
            stub.Recommend(pb.RecommendRequest(), timeout=240)
        assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
        with pytest.raises(grpc.RpcError) as unreadable:
            channel.unary_unary("/everfresh.v1.Recommender/Recommend")(b"\xff", timeout=240)
        assert unreadable.value.code() == grpc.StatusCode.INVALID_ARGUMENT
        assert "DecodeError" not in unreadable.value.details()
    assert said.version == scored["version"] == near["version"] == version
    assert client.get("/v1/admin/status").status_code == 401
    token = {"authorization": f"Bearer {TOKEN}"}
    assert client.get("/v1/admin/status", headers=token).json()["kind"] == "replica"


def grpc_ports(run: ServingRun) -> list[int]:
    """Where the replicas' gRPC servers are, by HAProxy's newest configuration."""
    words = next(filter(lambda words: "-f" in words, (p.cmdline() for p in run.titled("haproxy"))))
    configuration = Path(words[words.index("-f") + 1]).read_text()
    ports = re.findall(r"server SERVE_REPLICA\S* \S+:(\d+) proto h2", configuration)
    return [int(port) for port in ports]


def assert_replicas_refuse_long_messages(run: ServingRun) -> None:
    """Also who passes HAProxy by, and a message that is short until it is decompressed."""
    ports = grpc_ports(run)
    assert len(ports) == 2, ports
    long = pb.ScoreRequest(request_id="x" * (run.settings.serving.max_body_bytes + 1))
    for port in ports:
        with open_channel(f"127.0.0.1:{port}") as channel:
            for compression in (grpc.Compression.NoCompression, grpc.Compression.Gzip):
                with pytest.raises(grpc.RpcError) as refused:
                    RecommenderStub(channel).Score(long, timeout=240, compression=compression)
                assert refused.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
                assert "larger than max" in refused.value.details(), "before it was decoded"
