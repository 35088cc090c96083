"""What an object store is asked: one request for a file, whether it is there or not."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import fsspec
import pytest
from s3fs import S3FileSystem

from everfresh.adapters.blobs import RemoteBlobs, open_blobs
from everfresh.adapters.weights.store import FsspecWeightStore
from everfresh.adapters.weights.tracks import FsspecTracks
from everfresh.contracts.errors import CorruptVersion
from everfresh.contracts.manifest import Pointer
from everfresh.contracts.settings import Settings, load_settings
from tests.conformance.test_weight_store import FILES, manifest

pytestmark = pytest.mark.integration

GET = "get_object"


@pytest.fixture
def url(s3_server: str) -> str:
    assert s3_server
    bucket = uuid.uuid4().hex
    fsspec.filesystem("s3").mkdir(bucket)
    return f"s3://{bucket}/w"


@pytest.fixture
def asked(url: str, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The requests since the bucket was made, by what S3 calls them."""
    made, call = list[str](), S3FileSystem._call_s3

    async def counted(self: S3FileSystem, method: str, *given: Any, **named: Any) -> Any:
        made.append(method)
        return await call(self, method, *given, **named)

    monkeypatch.setattr(S3FileSystem, "_call_s3", counted)
    return made


@pytest.mark.parametrize("data", [b"x", b"ten bytes."])
def test_a_file_is_had_by_one_request(url: str, asked: list[str], data: bytes) -> None:
    blobs = open_blobs(url)
    blobs.put("a", data)
    asked.clear()
    assert blobs.get("a", 10) == data
    assert asked == [GET]


def test_a_file_that_is_not_there_costs_one_request_and_no_listing(
    url: str, asked: list[str]
) -> None:
    assert open_blobs(url).get("a", 10) is None
    assert asked == [GET]


def test_an_empty_file_is_empty(url: str) -> None:
    blobs = open_blobs(url)
    blobs.put("a", b"")
    assert blobs.get("a", 10) == b""


def test_of_a_file_that_is_too_long_one_byte_too_many_is_read(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    blobs, read = open_blobs(url), list[int]()
    assert isinstance(blobs, RemoteBlobs)
    blobs.put("a", bytes(1_000))
    whole = blobs._filesystem.cat_file

    def noted(*given: Any, **named: Any) -> bytes:
        data: bytes = whole(*given, **named)
        read.append(len(data))
        return data

    monkeypatch.setattr(blobs._filesystem, "cat_file", noted)
    with pytest.raises(CorruptVersion, match="has more than 10 bytes"):
        blobs.get("a", 10)
    assert read == [11]


def test_an_idle_machine_with_two_replicas_asks_twelve_times_a_second(
    url: str, asked: list[str], tmp_path: Path
) -> None:
    settings = load_settings({"home": str(tmp_path), "weights": {"url": url}})
    store, tracks = FsspecWeightStore.of(settings), FsspecTracks(settings)
    store.write(manifest(1), FILES)
    store.advance(Pointer(1, 1))
    asked.clear()
    assert store.pointer() == Pointer(1, 1)
    assert asked == [GET, GET]  # the published version, and whether one was rolled back to
    asked.clear()
    assert tracks.declared() == {}
    assert asked == [GET]
    assert asks_a_second(settings, tracks.look_s) == 12


def asks_a_second(settings: Settings, look_s: float) -> float:
    """By two replicas, the serving process and the trainer; of these only the first two look for
    versions, and all look for tracks."""
    versions = 2 * 1_000 / settings.poll_ms + 1_000 / settings.push_ms
    return 2 * versions + 4 / look_s
