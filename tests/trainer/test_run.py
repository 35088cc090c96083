from __future__ import annotations

import threading
from contextlib import nullcontext

import pytest
import torch

from everfresh.adapters.memory import MemoryWindowSource
from everfresh.contracts.errors import Unreachable
from everfresh.contracts.settings import Settings
from everfresh.trainer import run as trainer_run_module
from everfresh.trainer.run import TrainerPorts, TrainerRun
from tests.trainer.bench import Bench
from tests.trainer.logs import Log, example, make_log, run
from tests.trainer.small_settings import with_strategy

LABELS = [3, 4, 6, 7]
WAIT_S = 240.0


class OpenPorts:
    """Ports over a bench; says when they were closed."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.closed = threading.Event()

    def open(self, settings: Settings) -> TrainerPorts:
        return TrainerPorts(
            lambda: nullcontext(MemoryWindowSource(self.bench.log)),
            self.bench.tracks,
            self.bench.reports,
            self.closed.set,
        )


def start(log: Log, settings: Settings) -> tuple[TrainerRun, OpenPorts]:
    ports = OpenPorts(Bench(log, settings))
    trainer_run = TrainerRun(settings, ports.open, lambda: 5)
    trainer_run.start()
    return trainer_run, ports


def wait_for_version(trainer_run: TrainerRun, version: int) -> None:
    pause = threading.Event()
    for _ in range(int(WAIT_S / 0.02)):
        if trainer_run.status().figures.version >= version or trainer_run.status().error:
            return
        pause.wait(0.02)
    raise AssertionError(f"version {version} did not come: {trainer_run.status()}")


def test_a_stop_is_heard_at_a_step_boundary_and_shuts_the_ports(small_settings: Settings) -> None:
    trainer_run, ports = start(make_log(2, LABELS), small_settings)
    wait_for_version(trainer_run, len(LABELS))
    assert trainer_run.status().state == "running"
    assert trainer_run.stop(WAIT_S)
    assert trainer_run.status().state == "stopped"
    assert ports.closed.is_set()


def test_the_last_status_says_stopped_and_those_before_running(small_settings: Settings) -> None:
    trainer_run, ports = start(make_log(2, LABELS), small_settings)
    wait_for_version(trainer_run, len(LABELS))
    trainer_run.stop(WAIT_S)
    states = [said.state for said in ports.bench.reports.statuses]
    assert states[-1] == "stopped"
    assert states[:-1]
    assert set(states[:-1]) == {"running"}
    assert ports.bench.reports.statuses[-1].figures["version"] == len(LABELS)


@pytest.mark.parametrize("waits", [True, False])
def test_it_says_why_tracks_with_processes_of_their_own_are_not_trained(
    small_settings: Settings, monkeypatch: pytest.MonkeyPatch, waits: bool
) -> None:
    monkeypatch.setattr(trainer_run_module, "STATUS_S", 0.01)
    trainer_run, ports = start(make_log(2, LABELS), small_settings)
    said = ports.bench.reports.statuses

    def await_one(state: str, failed: str) -> None:
        while not any(
            (each.component, each.kind, each.state, each.figures["failed"])
            == ("track-fast", "track", state, failed)
            for each in list(said)
        ):
            assert not trainer_run.wait(0.01)

    trainer_run.untrained = {"fast": "no room"}
    await_one("waiting", "no room")
    trainer_run.untrained = {}  # its own process speaks again
    spoken = len(said)
    while len(said) < spoken + 5:
        assert not trainer_run.wait(0.01)
    assert {each.state for each in said if each.component == "track-fast"} == {"waiting"}
    trainer_run.untrained = {"fast": "no room"} if waits else {}
    assert trainer_run.stop(WAIT_S)
    assert [each.state for each in said if each.component == "track-fast"][-1] == "stopped"


def test_a_gap_fails_the_run_with_its_line(small_settings: Settings) -> None:
    gap = run(0, 1, 0, [[example(1, [1], 0)]]) + run(0, 2, 5, [[example(1, [2], 5)]])
    trainer_run, ports = start({0: gap}, small_settings)
    assert trainer_run.wait(WAIT_S)
    assert ports.closed.is_set()
    assert trainer_run.status().state == "failed"
    assert "expected a slice from events offset 1" in str(trainer_run.status().error)


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
    def refuse(settings: Settings) -> TrainerPorts:
        raise error

    trainer_run = TrainerRun(small_settings, refuse, lambda: 5)
    trainer_run.start()
    assert trainer_run.wait(WAIT_S)
    assert (trainer_run.status().state, trainer_run.status().error) == ("failed", line)


def test_a_run_that_finds_no_gpu_fails_with_one_line_and_opens_nothing(
    small_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    ports = OpenPorts(Bench(make_log(2, [3]), small_settings))
    run = TrainerRun(with_strategy(small_settings, "replay", device="cuda"), ports.open, lambda: 5)
    run.start()
    assert run.wait(WAIT_S)
    assert run.status().state == "failed"
    assert "finds no GPU here" in str(run.status().error)
    assert not ports.closed.is_set()
