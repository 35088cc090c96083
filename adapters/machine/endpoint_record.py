"""The record of serving's open endpoints on disk: serving writes it, everyone else reads it."""

from __future__ import annotations

import contextlib
import os
import urllib.error
import urllib.request
from pathlib import Path

import msgspec

from everfresh.adapters.machine.disk import naming


class EndpointRecord(msgspec.Struct, frozen=True):
    """``<home>/run/serving.json``: there from the moment serving answers until it stops.

    ``url`` is the root of the HTTP endpoint, such as ``http://127.0.0.1:23456``, without a slash at
    its end. ``grpc`` is ``host:port`` of the gRPC endpoint, ``pid`` the process that wrote this.
    """

    url: str
    grpc: str = ""
    pid: int = 0


def write_endpoint(home: Path, url: str, grpc: str) -> None:
    """Say where this process serves. Replaces the record atomically."""
    path = _path(home)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".new")
    with naming(draft):
        draft.write_bytes(msgspec.json.encode(EndpointRecord(url, grpc, os.getpid())))
    draft.replace(path)


def endpoint_url(home: Path) -> str | None:
    """The root of the HTTP endpoint; ``None`` where serving is not up or not yet."""
    try:
        record = msgspec.json.decode(_path(home).read_bytes(), type=EndpointRecord)
    except (OSError, msgspec.DecodeError):
        return None
    return record.url.rstrip("/")


def remove_endpoint(home: Path) -> None:
    """Serving has stopped, or the record is an earlier run's. Harmless where there is none."""
    _path(home).unlink(missing_ok=True)


def endpoint_answers(url: str, timeout_s: float = 2.0) -> bool:
    """Whether ``/healthz`` answers as serving does: 200, or 503 while there is no version yet."""
    with contextlib.suppress(OSError):
        try:
            # Serving is on this machine: no proxy of the environment knows the way to it.
            direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            with direct.open(f"{url}/healthz", timeout=timeout_s) as response:
                return bool(response.status == 200)
        except urllib.error.HTTPError as error:
            return error.code == 503
    return False


def _path(home: Path) -> Path:
    return home / "run" / "serving.json"
