"""The local supervisor: starts the loop, restarts what dies, and leaves no process behind.

Steps of a start: 1 close the home to other users, lock it and end what a killed run left; 2 start
the broker and Ray together, or check those that the settings name; 3 create the topics; 4 start
worker, trainer, serving, the bridges and the guard, all at once; 5 wait until serving's HTTP
endpoint answers. Stopping goes backwards. A machine that follows joins brokers, leaves the topics
alone in step 3, and in step 4 starts a follower in place of worker, trainer, bridges and guard.
"""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from everfresh.adapters.kafka.admin import broker_answers
from everfresh.adapters.kafka.diagnosis import SETTING, require_broker
from everfresh.adapters.kafka.topics import ensure_topics
from everfresh.adapters.machine.disk import require_space
from everfresh.adapters.machine.endpoint_record import (
    endpoint_answers,
    endpoint_url,
    remove_endpoint,
)
from everfresh.adapters.machine.interrupts import Interrupts
from everfresh.adapters.machine.private_home import close_home
from everfresh.adapters.machine.tcp_ports import (
    accepts_connections,
    free_ports,
    parse_address,
    require_free,
    require_reachable,
)
from everfresh.adapters.observe.scrape_targets import remove_targets
from everfresh.adapters.observe.tracing.extra import require_tracing
from everfresh.contracts.errors import RunError, Unreachable
from everfresh.contracts.kafka.security import Brokers
from everfresh.contracts.settings import Settings
from everfresh.infra import components, ray_head
from everfresh.infra.processes.children import Children, OnUpdate, StepUpdate
from everfresh.infra.processes.processes import Child, ChildSpec, become_subreaper, end_run
from everfresh.infra.run.run_record import (
    ProcessRecord,
    RunRecord,
    lock_home,
    read_record,
    remove_record,
    write_record,
)
from everfresh.streaming.follower import READY_LINE

_STOP_BUDGET_S = 8.5
_PAUSE_S = 0.05
_DOWNLOAD_S = 900.0  # for Kafka, which a first start fetches; the broker's process gives up earlier


class Supervisor:
    """A run of one home, as a context manager: whatever happens inside, its processes end.

    ``on_update`` is called with every :class:`StepUpdate`, on the thread that calls the methods.
    """

    def __init__(self, settings: Settings, interrupts: Interrupts, on_update: OnUpdate) -> None:
        self.home = settings.home.resolve()
        self.settings = settings
        self._interrupts = interrupts
        self._on_update = on_update
        self._run_id = uuid.uuid4().hex
        self._children = Children(
            self.home / "logs", self._run_id, components.needs(settings), self._missing, on_update
        )
        self._closing = contextlib.ExitStack()
        self._record: RunRecord | None = None
        self._ray_environment: dict[str, str] = {}
        self._own_ray = False
        self.left_behind: list[str] = []

    def __enter__(self) -> Self:
        """Step 1: close the home to other users, lock it, and end what a killed run left."""
        become_subreaper()
        try:
            self._take_home()
        except OSError as error:
            self._closing.close()
            raise RunError(
                f"home is {self.home}, and {error.filename or self.home} cannot be written: "
                f"{error.strerror}; mend that, or name another folder with --home"
            ) from None
        return self

    def _take_home(self) -> None:
        if still_open := close_home(self.home):
            self._on_update(StepUpdate("home", "warning", still_open))
        require_space(self.home, "home")
        self._closing.enter_context(lock_home(self.home))
        end_leftovers(self.home, self._on_update)
        _rotate_logs(self.home / "logs")
        remove_endpoint(self.home)
        remove_targets(self.home)
        self._record = RunRecord(
            self._run_id,
            ProcessRecord.of_this_process(),
            time.time_ns() // 1_000_000,
            "starting",
            self.settings.kafka.bootstrap_servers,
            self.settings.kafka.topic_prefix,
            self.settings.ray.address,
            {},
        )
        self._write()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop in order. From now on a signal only ends the waiting."""
        self._interrupts.closing()
        # A full disk must not keep what runs from being ended.
        with contextlib.suppress(OSError):
            self._write(state="stopping")
        self.left_behind = self._children.stop(
            components.stop_order(self.settings), _STOP_BUDGET_S, self._interrupts.hurry.is_set
        )
        ray_head.remove_temporary_folder(self._run_id)
        if not self.left_behind:
            remove_record(self.home)
        self._closing.close()

    def start(self) -> None:
        """Steps 2 to 5. ``Unreachable`` or ``RunError`` where one of them fails."""
        require_tracing(self.settings)
        serving = self.settings.serving
        if serving.port and not self.settings.ray.address:
            # On a Ray of others the port may be that of a door which is open already.
            require_free(serving.host, serving.port, "serving.port")
        follows = self.settings.follower.enabled
        if follows:
            components.require_followable(self.settings)
        self._start_clusters()
        if not follows:
            with self._step("topics"):
                ensure_topics(
                    self.settings.kafka.brokers,
                    self.settings,
                    lambda line: self._on_update(StepUpdate("topics", "warning", line)),
                )
                if not self._children.get(components.BROKER):  # ours nobody else knows
                    components.require_only_trainer(self.settings)
        env = {**components.settings_environment(self.settings), **self._ray_environment}
        guarded = components.is_guarded(self.settings)
        for spec in components.loop_specs(
            env, self.settings.sources, follows=follows, guarded=guarded
        ):
            self._start(spec)
        if follows:
            with self._step("state"):
                self._until(components.FOLLOWER, self._state_is_here)
        with self._step("replicas" if follows else "serving"):
            self._until("serving", self._serves)
        self._write(state="ready")

    def watch(self) -> None:
        """Restart what died; call it several times a second. ``RunError`` when it gives up."""
        if self._children.watch(time.monotonic()):
            self._write()

    def absent(self) -> list[str]:
        """Components that died and are not started again yet."""
        return self._children.absent()

    def start_one_off(self, spec: ChildSpec) -> Child:
        """Start a process that belongs to the run for a while and is never restarted."""
        return self._children.start(spec)

    def _start_clusters(self) -> None:
        """Step 2: start both before waiting for either."""
        servers, address = self.settings.kafka.bootstrap_servers, self.settings.ray.address
        if not servers:
            components.require_plaintext(self.settings)
            [port] = free_ports(1)
            servers = f"127.0.0.1:{port}"
            self._start(components.broker_spec(self.home, port, self.settings))
        self._own_ray = not address
        if self._own_ray:
            ray_head.forget_other_clusters()
            head = ray_head.prepare_head(self._run_id, self.settings.ray)
            address, self._ray_environment = head.address, head.driver_environment
            self._start(head.spec)
        self.settings = components.with_addresses(self.settings, servers, address)
        self._write(bootstrap_servers=servers, ray_address=address)
        with self._step("kafka"):
            self._await_kafka(self.settings.kafka.brokers)
        with self._step("ray"):
            self._await_ray(address)

    def _await_kafka(self, brokers: Brokers) -> None:
        if self._children.get(components.BROKER):
            self._until(components.BROKER, lambda: broker_answers(brokers), _DOWNLOAD_S)
        elif not broker_answers(brokers):
            require_broker(brokers, f"{SETTING}, or leave it out to have one started here")
            raise Unreachable(
                f"the Kafka broker at {brokers} answers, and knows in time of no broker that is "
                "ready; check its log, and start this again once it is"
            )

    def _await_ray(self, address: str) -> None:
        if self._children.get(components.RAY):
            self._until(components.RAY, self._ray_answers)
        else:
            require_reachable(address, "--ray-address (ray.address)", "Ray cluster")

    def _missing(self, need: str) -> str | None:
        """See ``children.Missing``: the broker and Ray may be ours or somebody else's."""
        brokers, address = self.settings.kafka.brokers, self.settings.ray.address
        if need == components.BROKER:
            return None if broker_answers(brokers) else f"Kafka at {brokers}"
        return None if self._ray_answers() else f"Ray at {address}"

    def _ray_answers(self) -> bool:
        if not self._own_ray:
            return accepts_connections(*parse_address(self.settings.ray.address, "ray.address"))
        head = self._children.get(components.RAY)
        return head is not None and head.has_logged(ray_head.READY_LINE)

    def _state_is_here(self) -> bool:
        follower = self._children.get(components.FOLLOWER)
        return follower is not None and follower.has_logged(READY_LINE)

    def _serves(self) -> bool:
        url = endpoint_url(self.home)
        return url is not None and endpoint_answers(url)

    def _start(self, spec: ChildSpec) -> None:
        self._children.start(spec)
        self._write()

    @contextlib.contextmanager
    def _step(self, name: str) -> Iterator[None]:
        began = time.monotonic()
        self._on_update(StepUpdate(name, "begins"))
        yield
        self._on_update(StepUpdate(name, "done", seconds=time.monotonic() - began))

    def _until(self, name: str, ready: Callable[[], bool], more_s: float = 0.0) -> None:
        """Wait for ``ready``, ``run.start_timeout_s`` and ``more_s`` at most; meanwhile report the
        newest log line of the component. ``RunError`` at once where any component has ended."""
        began, limit_s = time.monotonic(), self.settings.run.start_timeout_s
        while not ready():
            self._children.require_alive()
            waited_s, last = time.monotonic() - began, self._children.last_line(name)
            if waited_s > limit_s + more_s:
                log = self.home / "logs" / f"{name}.out"
                raise RunError(
                    f"{name} was not ready after {waited_s:.0f} s; its last words are "
                    f"{last or 'none'!r}, and {log} has all; on a busy machine raise "
                    f"run.start_timeout_s, which is {limit_s:g}"
                )
            self._on_update(StepUpdate(name, "waits", last, waited_s))
            time.sleep(_PAUSE_S)

    def _write(self, **changes: str) -> None:
        assert self._record is not None, "the run has not been entered"
        self._record = msgspec.structs.replace(
            self._record, components=self._children.records(), **changes
        )
        write_record(self.home, self._record)


def end_leftovers(home: Path, on_update: OnUpdate) -> int:
    """End the processes of a run whose supervisor is gone; returns how many there were."""
    record = read_record(home)
    if record is None:
        return 0
    count = end_run(record.run_id)
    ray_head.remove_temporary_folder(record.run_id)
    if count:
        on_update(
            StepUpdate("leftovers", "done", f"ended {count} processes of a run that was killed")
        )
    remove_record(home)
    return count


def _rotate_logs(logs: Path) -> None:
    """Keep the logs of the run before this one as ``NAME.out.1``."""
    for log in logs.glob("*.out"):
        log.replace(log.with_suffix(".out.1"))
