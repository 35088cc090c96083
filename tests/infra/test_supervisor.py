"""The supervisor's waiting and its end; `test_up` tests what it starts, with real processes."""

from __future__ import annotations

import errno
from collections.abc import Callable

import pytest

from everfresh.adapters.machine.interrupts import Interrupts
from everfresh.contracts.errors import RunError, SettingsError
from everfresh.contracts.settings import Settings
from everfresh.infra.processes.children import StepUpdate
from everfresh.infra.supervisor import Supervisor


def test_what_is_not_ready_in_time_is_named_with_the_setting(
    make_settings: Callable[..., Settings],
) -> None:
    notes: list[StepUpdate] = []
    settings = make_settings(run={"start_timeout_s": 1})
    run = Supervisor(settings, Interrupts(), notes.append)
    with pytest.raises(RunError, match=r"serving was not ready .*serving\.out .*timeout_s, w"):
        run._until("serving", lambda: False)
    assert {note.what for note in notes} == {"waits"}
    assert notes[-1].seconds > notes[0].seconds >= 0.0, "so far"


def test_security_without_brokers_is_refused(make_settings: Callable[..., Settings]) -> None:
    settings = make_settings(kafka={"security": {"protocol": "SSL"}})
    # Not entered: leaving would end all processes below this one, as those that tests share.
    run = Supervisor(settings, Interrupts(), lambda note: None)
    with pytest.raises(SettingsError, match=r"is SSL and kafka\.bootstrap_servers is"):
        run.start()


def test_a_machine_that_follows_names_what_lies_elsewhere(
    make_settings: Callable[..., Settings],
) -> None:
    settings = make_settings(follower={"enabled": True}, weights={"url": "s3://bucket/weights"})
    run = Supervisor(settings, Interrupts(), lambda note: None)
    said = r"set kafka\.bootstrap_servers \(.*\), state\.snapshot_url \(.*\) to what the other"
    with pytest.raises(SettingsError, match=said):
        run.start()


def test_a_full_disk_does_not_keep_what_runs_from_being_ended(
    make_settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    run = Supervisor(make_settings(), Interrupts(), lambda note: None)
    stopped: list[object] = []

    def stop(order: object, *_: object) -> list[str]:
        stopped.append(order)
        return []

    with run:
        monkeypatch.setattr("everfresh.infra.supervisor.write_record", fail)
        monkeypatch.setattr(run._children, "stop", stop)
    assert len(stopped) == 1
