"""The record of serving's endpoints: written as a whole, read back, removed."""

from __future__ import annotations

import json
import os
from pathlib import Path

from everfresh.adapters.machine.endpoint_record import (
    endpoint_url,
    remove_endpoint,
    write_endpoint,
)


def test_the_endpoint_is_known_from_its_record_until_it_is_removed(tmp_path: Path) -> None:
    assert endpoint_url(tmp_path) is None
    write_endpoint(tmp_path, "http://127.0.0.1:1", "127.0.0.1:2")
    assert endpoint_url(tmp_path) == "http://127.0.0.1:1"
    (record,) = (tmp_path / "run").iterdir()
    assert json.loads(record.read_text()) == {
        "url": "http://127.0.0.1:1",
        "grpc": "127.0.0.1:2",
        "pid": os.getpid(),
    }
    remove_endpoint(tmp_path)
    remove_endpoint(tmp_path)
    assert endpoint_url(tmp_path) is None


def test_a_record_of_the_url_alone_is_enough_and_a_damaged_one_is_none(tmp_path: Path) -> None:
    record = tmp_path / "run" / "serving.json"
    record.parent.mkdir()
    record.write_text('{"url": "http://127.0.0.1:1/", "later": 1}')
    assert endpoint_url(tmp_path) == "http://127.0.0.1:1"
    record.write_text('{"url"')
    assert endpoint_url(tmp_path) is None
