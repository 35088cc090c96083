"""The object store: a server that speaks S3, with one bucket.

Versity's S3 gateway keeps objects as files, checks signatures, and is built from Go's module proxy
once. Moto's server, which tests use, keeps them in memory and believes every signature.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import fsspec
import msgspec

from benchmarks.harness.waiting import wait_until
from everfresh.adapters.machine.child_process import ChildProcess
from everfresh.adapters.machine.tcp_ports import accepts_connections

VERSITY, MOTO = "versity", "moto"
_PORT = 9000
_MODULE = "github.com/versity/versitygw/cmd/versitygw"
_RELEASE = "v1.8.0"
_ID, _SECRET = "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"


class Store(msgspec.Struct, frozen=True):
    """A program that listens at ``{host}:{port}`` with its data in ``{folder}``."""

    name: str
    command: Sequence[str]


def find_store(name: str) -> Store:
    """The program, which is built if need be."""
    if name == MOTO:
        return Store(MOTO, (sys.executable, "-m", "moto.server", "-H", "{host}", "-p", "{port}"))
    program = _built()
    return Store(VERSITY, (str(program), "--port", "{host}:{port}", "posix", "{folder}"))


@contextlib.contextmanager
def running(store: Store, folder: Path, host: str) -> Iterator[None]:
    """It runs, and this process and its children find it by variables; with the bucket."""
    named = {
        "AWS_ENDPOINT_URL": f"http://{host}:{_PORT}",
        _ID: "benchmark",
        _SECRET: secrets.token_hex(16),
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    os.environ.update(named)
    data = folder / "store"
    data.mkdir()
    env = {
        **os.environ,
        "ROOT_ACCESS_KEY_ID": named[_ID],
        "ROOT_SECRET_ACCESS_KEY": named[_SECRET],
    }
    command = [word.format(host=host, port=_PORT, folder=data) for word in store.command]
    with (folder / "store.log").open("w") as log:
        process = ChildProcess(command, stdout=log, stderr=log, env=env)
    try:
        wait_until(lambda: accepts_connections(host, _PORT), "the object store")
        bucket: Any = fsspec.filesystem("s3")
        bucket.mkdir("everfresh")
        yield
    finally:
        process.stop(1.0)
        for name in named:
            del os.environ[name]


def _built() -> Path:
    """Versity's gateway: that of ``PATH``, or one that Go builds."""
    if found := shutil.which("versitygw"):
        return Path(found)
    folder = Path.home() / ".cache" / "everfresh" / f"versitygw-{_RELEASE}"
    program = folder / "versitygw"
    if not program.exists():
        if shutil.which("go") is None:
            sys.exit("the object store is built by Go, which is not here; or give --store moto")
        print(f"building {_MODULE} {_RELEASE}, once", flush=True)
        command = ["go", "install", f"{_MODULE}@{_RELEASE}"]
        subprocess.run(command, check=True, env={**os.environ, "GOBIN": str(folder)})
    return program
