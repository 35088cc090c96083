"""A second everfresh on the same topics is refused while the first one lives, and only then."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from everfresh.adapters.kafka.presence.other_trainers import OtherTrainers
from everfresh.adapters.kafka.report_sink import KafkaReportSink
from everfresh.adapters.kafka.topics import ensure_topics
from everfresh.adapters.machine.interrupts import Interrupts
from everfresh.contracts.errors import RunError
from everfresh.contracts.report import ComponentStatus
from everfresh.contracts.settings import Settings
from everfresh.infra import components, supervisor
from everfresh.infra.broker.broker import EmbeddedBroker
from everfresh.infra.supervisor import Supervisor

pytestmark = pytest.mark.integration
REFUSED = r"another trainer has this loop, that of home host-b:/srv: it writes to .*status"


@pytest.fixture
def settings(kafka: EmbeddedBroker, make_settings: Callable[..., Settings]) -> Settings:
    made = make_settings(kafka={"bootstrap_servers": kafka.bootstrap_servers, "partitions": 1})
    ensure_topics(made.kafka.brokers, made)
    return made


def write(settings: Settings, state: str = "running", place: str = "host-b:/srv#77") -> None:
    """A trainer's status, as another home leaves it."""
    sink = KafkaReportSink(settings.kafka.brokers, settings.kafka.topic_prefix)
    sink.status(ComponentStatus("trainer", "trainer", time.time_ns() // 10**6, state, {}, place))
    assert sink.flush(30)
    sink.close()


@contextmanager
def alive(settings: Settings) -> Iterator[None]:
    """A trainer of another home that goes on saying how it is."""
    over = threading.Event()

    def speak() -> None:
        while not over.wait(0.2):
            write(settings)

    write(settings)
    thread = threading.Thread(target=speak, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def test_a_second_everfresh_is_refused_in_one_line_while_the_first_one_lives(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[object] = []
    run = Supervisor(settings, Interrupts(), lambda note: None)
    monkeypatch.setattr(run, "_start_clusters", lambda: None)
    monkeypatch.setattr(run, "_start", started.append)
    monkeypatch.setattr(supervisor, "require_free", lambda *_: None)
    with alive(settings):
        # `everfresh up`: no worker is started, which would take users from the other one.
        with pytest.raises(RunError, match=REFUSED):
            run.start()
        assert not started
        trainer = subprocess.run(
            [sys.executable, "-m", "everfresh.trainer"],
            env={**os.environ, **components.settings_environment(settings)},
            capture_output=True,
            text=True,
            check=False,
        )
    assert trainer.returncode == 1
    (line,) = [line for line in trainer.stderr.splitlines() if line.startswith("error: ")]
    assert "another trainer has this loop, that of home host-b:/srv" in line


def test_after_a_kill_and_after_a_stop_the_next_one_starts(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched: list[float] = []

    def require_none(self: OtherTrainers, watch_s: float = 1.0) -> None:
        watched.append(watch_s)
        original(self, watch_s)

    original = OtherTrainers.require_none
    monkeypatch.setattr(OtherTrainers, "require_none", require_none)
    components.require_only_trainer(settings)  # nobody was ever there
    write(settings)
    components.require_only_trainer(settings)  # killed, perhaps with its machine
    write(settings, "stopped")
    components.require_only_trainer(settings)
    assert len(watched) == 3


def test_one_that_was_there_before_ends_the_newcomer_which_no_broker_could_tell(
    settings: Settings,
) -> None:
    with OtherTrainers(settings.kafka.brokers, settings.kafka.topic_prefix, "here#1") as others:
        others.look()
        with alive(settings), pytest.raises(RunError, match=REFUSED):
            look_on(others)


def look_on(others: OtherTrainers) -> None:
    for _ in range(600):
        others.look()
        time.sleep(0.1)
