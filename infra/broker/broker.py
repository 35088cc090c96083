"""The embedded broker: one real Apache Kafka in KRaft mode, as a child process.

It listens on loopback only and needs no ZooKeeper and no container. It is not for production,
because one node holds the only replica.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from everfresh.adapters.kafka.admin import broker_answers
from everfresh.adapters.machine.child_process import ChildProcess
from everfresh.adapters.machine.tcp_ports import free_ports, require_free
from everfresh.contracts.errors import Unreachable
from everfresh.contracts.kafka.security import Brokers
from everfresh.contracts.settings import load_settings
from everfresh.infra.broker.data_folder import BrokerFolder
from everfresh.infra.broker.jars import kafka_jars, kafka_version
from everfresh.infra.broker.java import find_java, java_environment

_HOST = "127.0.0.1"
_LOG4J = Path(__file__).with_name("log4j2.properties")
_STOP_SECONDS = 4.0


class EmbeddedBroker:
    """A Kafka broker as a child process; its data outlives it in ``data_dir``.

    ``port`` 0 picks a free one at each start. ``heap_mb`` bounds the Java heap. ``more`` are lines
    of ``server.properties`` that come on top, such as further listeners; of a name that is set
    twice the last value counts. The child dies with this process, also when this process is
    killed. Its jars are fetched once, from the setting ``kafka.jars_url``.
    """

    def __init__(self, data_dir: Path, heap_mb: int = 384, port: int = 0, more: str = "") -> None:
        self._folder = BrokerFolder(data_dir.resolve(), more)
        self._heap_mb = heap_mb
        self._wanted_port = port
        self._port = 0
        self._process: ChildProcess | None = None

    @property
    def data_dir(self) -> Path:
        """The folder of its data."""
        return self._folder.root

    @property
    def bootstrap_servers(self) -> str:
        """``host:port`` for clients; known after :meth:`start`."""
        assert self._port, "the broker has not been started"
        return f"{_HOST}:{self._port}"

    @property
    def pid(self) -> int:
        """Process id of the running broker."""
        assert self._process is not None, "the broker has not been started"
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the process is alive."""
        return self._process is not None and self._process.poll() is None

    def start(self, on_progress: Callable[[str], None] = lambda text: None) -> None:
        """Return when an admin request is answered; ``on_progress`` gets short texts meanwhile.

        ``MissingDependency`` without Java or jars; ``Unreachable`` where the port is taken
        or the broker does not come up; ``StateError`` where ``data_dir`` is not usable,
        ``StateLocked`` where another broker runs in it.
        """
        java = find_java(on_progress)
        jars = kafka_jars(load_settings().kafka.jars_url, on_progress)
        self._port, controller_port = free_ports(2, _HOST)
        if self._wanted_port:
            require_free(_HOST, self._wanted_port, "the Kafka port")
            self._port = self._wanted_port
        self._folder.prepare(self._port, controller_port)
        try:
            self._folder.format(self._java(java, jars))
            on_progress(f"starting Apache Kafka {kafka_version()} on {self.bootstrap_servers}")
            self._spawn(self._java(java, jars))
            self._await_ready()
        except BaseException:
            self.stop()
            raise
        on_progress(f"Apache Kafka answers on {self.bootstrap_servers}")

    def stop(self) -> None:
        """End the process: SIGTERM, then SIGKILL after some seconds. Harmless twice."""
        if self._process is not None:
            self._process.stop(_STOP_SECONDS)
            self._process = None
        self._folder.release()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.stop()

    def _spawn(self, java: list[str]) -> None:
        with self._folder.console.open("wb") as console:
            self._process = ChildProcess(
                [*java, "kafka.Kafka", str(self._folder.properties)],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                cwd=self._folder.root,
                env=java_environment(),
            )

    def _java(self, java: str, jars: Path) -> list[str]:
        # Serial collector and first compiler tier: fastest start and least work on small machines.
        return [
            *(java, f"-Xmx{self._heap_mb}m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"),
            f"-Deverfresh.log={self._folder.log}",
            f"-Dlog4j2.configurationFile={_LOG4J}",
            *("-cp", f"{jars}/*"),
        ]

    def _await_ready(self) -> None:
        until = time.monotonic() + load_settings().run.start_timeout_s
        while not broker_answers(Brokers(self.bootstrap_servers)):
            if not self.running or time.monotonic() > until:
                raise self._failure()
            time.sleep(0.05)

    def _failure(self) -> Unreachable:
        happened = "did not answer in time" if self.running else "ended while starting"
        return Unreachable(
            f"the embedded Kafka broker {happened} (heap {self._heap_mb} MB, "
            f"{self.bootstrap_servers}); free memory or raise kafka.heap_mb, or look into "
            f"{self._folder.log}; its last lines: {self._folder.last_lines()}"
        )
