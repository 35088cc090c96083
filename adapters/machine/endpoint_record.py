"""Serving's HTTP door as seen from outside: where it is, and whether it answers."""

from __future__ import annotations

import contextlib
import urllib.error
import urllib.request
from pathlib import Path

import msgspec


class DoorRecord(msgspec.Struct, frozen=True):
    """``<home>/run/serving.json``, written by serving when its door is open; other keys may follow.

    ``url`` is the root, such as ``http://127.0.0.1:23456``, without a slash at its end.
    """

    url: str


def _path(home: Path) -> Path:
    return home / "run" / "serving.json"


def forget(home: Path) -> None:
    """Remove an earlier run's word."""
    _path(home).unlink(missing_ok=True)


def door_url(home: Path) -> str | None:
    """Where serving answers; ``None`` until it has said so."""
    try:
        record = msgspec.json.decode(_path(home).read_bytes(), type=DoorRecord)
    except (OSError, msgspec.DecodeError):
        return None
    return record.url.rstrip("/")


def is_open(url: str, timeout_s: float = 2.0) -> bool:
    """Whether ``/healthz`` answers as serving does: 200, or 503 while there is no version yet."""
    with contextlib.suppress(OSError):
        try:
            with urllib.request.urlopen(f"{url}/healthz", timeout=timeout_s) as answer:
                return bool(answer.status == 200)
        except urllib.error.HTTPError as error:
            return error.code == 503
    return False
