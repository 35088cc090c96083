from __future__ import annotations

import threading

import pytest

from everfresh.adapters.memory import MemoryWindowSource
from everfresh.contracts.errors import Unreachable
from everfresh.contracts.settings import Settings
from everfresh.trainer.run import Ports, TrainerRun
from tests.trainer.bench import Bench
from tests.trainer.logs import Log, example, make_log, run

LABELS = [3, 4, 6, 7]
WAIT_S = 30.0


class Doors:
    """Ports over a bench; says when they were shut."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.shut = threading.Event()

    def open(self, settings: Settings) -> Ports:
        source = MemoryWindowSource(self.bench.log)
        return Ports(source, self.bench.store, self.bench.reports, self.shut.set)


def start(log: Log, settings: Settings) -> tuple[TrainerRun, Doors]:
    doors = Doors(Bench(log, settings))
    run_ = TrainerRun(settings, doors.open, lambda: 5)
    run_.start()
    return run_, doors


def wait_for_version(one: TrainerRun, version: int) -> None:
    pause = threading.Event()
    for _ in range(int(WAIT_S / 0.02)):
        if one.condition().figures.version >= version or one.condition().error:
            return
        pause.wait(0.02)
    raise AssertionError(f"version {version} did not come: {one.condition()}")


def test_a_stop_is_heard_at_a_step_boundary_and_shuts_the_ports(small_settings: Settings) -> None:
    one, doors = start(make_log(2, LABELS), small_settings)
    wait_for_version(one, len(LABELS))
    assert one.condition().state == "running"
    assert one.stop(WAIT_S)
    assert one.condition().state == "stopped"
    assert doors.shut.is_set()


def test_the_last_status_says_stopped_and_those_before_running(small_settings: Settings) -> None:
    one, doors = start(make_log(2, LABELS), small_settings)
    wait_for_version(one, len(LABELS))
    one.stop(WAIT_S)
    states = [said.state for said in doors.bench.reports.statuses]
    assert states[-1] == "stopped"
    assert states[:-1]
    assert set(states[:-1]) == {"running"}
    assert doors.bench.reports.statuses[-1].figures["version"] == len(LABELS)


def test_a_gap_fails_the_run_with_its_line(small_settings: Settings) -> None:
    gap = run(0, 1, 0, [[example(1, [1], 0)]]) + run(0, 2, 5, [[example(1, [2], 5)]])
    one, doors = start({0: gap}, small_settings)
    assert one.wait(WAIT_S)
    assert doors.shut.is_set()
    assert one.condition().state == "failed"
    assert "expected a slice from events offset 1" in str(one.condition().error)


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (Unreachable("no broker at x"), "no broker at x"),
        (KeyError("k"), "unexpected KeyError: 'k'; the trainer's log has more"),
    ],
)
def test_ports_that_cannot_be_opened_fail_the_run(
    small_settings: Settings, error: Exception, line: str
) -> None:
    def refuse(settings: Settings) -> Ports:
        raise error

    one = TrainerRun(small_settings, refuse, lambda: 5)
    one.start()
    assert one.wait(WAIT_S)
    assert (one.condition().state, one.condition().error) == ("failed", line)
