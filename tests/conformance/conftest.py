"""A server that speaks S3 over HTTP: moto's, in a process of its own, on loopback."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from tests.conftest import SHARED


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Its URL. ``s3://`` URLs reach it by the variables that every AWS client reads."""
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"]
    log = tmp_path_factory.mktemp("s3") / "log"
    with (
        log.open("w") as writer,
        subprocess.Popen(command, stderr=writer) as server,
        pytest.MonkeyPatch.context() as patched,
    ):
        SHARED.add(server.pid)
        try:
            url = _wait_for_url(server, log)
            for name, value in (
                ("AWS_ENDPOINT_URL", url),
                ("AWS_ACCESS_KEY_ID", "test"),
                ("AWS_SECRET_ACCESS_KEY", "test"),
                ("AWS_DEFAULT_REGION", "us-east-1"),
            ):
                patched.setenv(name, value)
            fsspec.filesystem("s3").clear_instance_cache()
            yield url
        finally:
            fsspec.filesystem("s3").clear_instance_cache()
            server.kill()


def _wait_for_url(server: subprocess.Popen[bytes], log: Path) -> str:
    while server.poll() is None:
        match = re.search(r"Running on (http://127\.0\.0\.1:\d+)", log.read_text())
        if match:
            return match.group(1)
        time.sleep(0.05)
    raise RuntimeError(f"the S3 server ended: {log.read_text()}")
