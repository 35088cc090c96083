"""The embedded broker's data folder: what is in it, and when it may be used.

everfresh-kafka.json   marks the folder as a broker's; holds the cluster id, which never changes
server.properties      written at each start: ports and heap may change
formatted              exists once ``data`` has been formatted as a whole
data/                  the log itself
logs/                  the broker's own log files
"""

from __future__ import annotations

import base64
import fcntl
import json
import re
import shutil
import subprocess
import uuid
from pathlib import Path
from typing import IO

from everfresh.contracts.errors import StateError, StateLocked, Unreachable
from everfresh.infra.broker.java import java_environment

MARKER = "everfresh-kafka.json"
_FORMAT = 1
_PROPERTIES = """\
# Written by everfresh at each start of the embedded broker; changes here are lost.
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller_port}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs=data
auto.create.topics.enable=false
# One node: one replica of everything, and no waiting for others.
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=1
group.initial.rebalance.delay.ms=0
# kafka.session_ms decides, not the broker.
group.min.session.timeout.ms=1000
# A killed broker can register again only after its old session has timed out.
broker.session.timeout.ms=4000
broker.heartbeat.interval.ms=1000
# Few threads and small buffers: the machine is shared with everything else.
num.network.threads=2
num.io.threads=2
background.threads=2
num.recovery.threads.per.data.dir=1
group.coordinator.threads=1
log.cleaner.dedupe.buffer.size=8388608
log.index.size.max.bytes=1048576
"""


class BrokerFolder:
    """One broker's folder. ``root`` must be absolute; the broker runs with it as its directory.

    ``more`` goes to the end of ``server.properties``; ``{port}`` and ``{controller_port}`` in it
    stand for the ports."""

    def __init__(self, root: Path, more: str = "") -> None:
        self.root = root
        self._more = more
        self.properties = root / "server.properties"
        self.log = root / "logs" / "broker.log"
        self.console = root / "logs" / "console.log"
        self._marker = root / MARKER
        self._formatted = root / "formatted"
        self._log_from = 0
        self._lock: IO[str] | None = None

    def prepare(self, port: int, controller_port: int) -> None:
        """Mark and lock the folder, and write ``server.properties``.

        ``StateError`` where it is a file, cannot be written or holds something else;
        ``StateLocked`` where another broker runs in it. :meth:`release` lets others in again.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            self._claim()
            self.root.chmod(0o700)  # whatever the modes in it, others do not reach it
            self._lock_folder()
            self.log.parent.mkdir(exist_ok=True)
            self._log_from = self.log.stat().st_size if self.log.exists() else 0
            properties = _PROPERTIES + self._more
            text = properties.format(port=port, controller_port=controller_port)
            self.properties.write_text(text)
        except OSError as error:
            raise StateError(
                f"the broker's data folder {self.root} cannot be used: {error.strerror}; name a "
                "folder that can be written"
            ) from None

    def release(self) -> None:
        """Unlock the folder. The kernel does it too when this process dies."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def format(self, java: list[str]) -> None:
        """Format the log folder once. One whose formatting was cut short is formatted again."""
        if self._formatted.exists():
            return
        shutil.rmtree(self.root / "data", ignore_errors=True)
        command = [*java, "kafka.tools.StorageTool", "format", "--config", str(self.properties)]
        done = subprocess.run(
            # As one argument: an id that begins with a dash would be read as an option.
            [*command, f"--cluster-id={self._cluster()}"],
            cwd=self.root,
            env=java_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise Unreachable(
                f"the broker's data folder {self.root} could not be formatted: "
                f"{_most_telling(done.stdout + done.stderr)}"
            )
        self._formatted.touch()

    def last_lines(self) -> str:
        """The most telling lines that the broker logged since :meth:`prepare`, as one line."""
        text = self.console.read_text(errors="replace") if self.console.exists() else ""
        if self.log.exists():
            with self.log.open("rb") as log:
                # A rotated log starts anew.
                log.seek(self._log_from if self.log.stat().st_size >= self._log_from else 0)
                text += log.read().decode(errors="replace")
        return _most_telling(text)

    def _lock_folder(self) -> None:
        self.release()
        lock = (self.root / "lock").open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            raise StateLocked(
                f"another embedded broker is using {self.root}; stop it, or name another data "
                "folder"
            ) from None
        self._lock = lock

    def _claim(self) -> None:
        if self._marker.exists():
            return
        draft = self._marker.with_suffix(".new")
        if any(entry != draft for entry in self.root.iterdir()):
            raise StateError(
                f"{self.root} holds files and no {MARKER}, so it is not the folder of an embedded "
                "broker; name an empty or a new folder"
            )
        cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        draft.write_text(json.dumps({"format": _FORMAT, "cluster_id": cluster}))
        draft.replace(self._marker)

    def _cluster(self) -> str:
        try:
            marker = json.loads(self._marker.read_text())
            if marker["format"] == _FORMAT:
                return str(marker["cluster_id"])
        except (ValueError, TypeError, KeyError):
            pass
        raise StateError(
            f"{self._marker} is not the marker of format {_FORMAT} that was expected; name a new "
            "folder"
        )


def _most_telling(text: str) -> str:
    """The last lines: of the errors where there are many lines; never stack frames."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    frames = ("at ", "...")
    lines = [line for line in lines if not line.startswith(frames)]
    errors = [line for line in lines if re.search(r"ERROR|FATAL|Error|Exception", line)]
    return " | ".join((errors if len(lines) > 5 else lines)[-3:]) or "nothing"
