"""The record of serving's endpoints: written as a whole, read back, removed."""

from __future__ import annotations

import json
import os
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from everfresh.adapters.machine.endpoint_record import (
    endpoint_answers,
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


class _Healthy(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing is to be said."""


def test_serving_on_this_machine_is_not_asked_through_a_proxy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # where nobody answers
    with HTTPServer(("127.0.0.1", 0), _Healthy) as server:
        serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        serving.start()
        try:
            assert endpoint_answers(f"http://127.0.0.1:{server.server_port}", timeout_s=240.0)
        finally:
            server.shutdown()
            serving.join()
