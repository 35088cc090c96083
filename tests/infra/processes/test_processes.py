"""Child processes never outlive the one that started them. Each case runs in a process of its own:
the parent under test becomes a subreaper and kills all of its descendants."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from everfresh.contracts.settings import names
from everfresh.infra.processes.processes import (
    RUN_VARIABLE,
    ChildSpec,
    end_run,
    processes_of,
    same_process,
    spawn,
)
from everfresh.infra.run.run_record import ProcessRecord

pytestmark = pytest.mark.process

PRELUDE = """
import os, signal, sys, time
from pathlib import Path
from everfresh.adapters.machine.interrupts import Interrupted, Interrupts
from everfresh.infra.processes.processes import *
logs, run = Path(sys.argv[1]), sys.argv[2]
def child(name, code, grace=3.0):
    return spawn(ChildSpec(name, [sys.executable, "-c", code], {}, grace_s=grace), logs, run)
def say(word):
    print(word, flush=True)
def until(path):
    while not Path(path).exists():
        time.sleep(0.01)
"""

STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "

DAEMON = """
import os, signal, sys, time
from pathlib import Path
if os.fork():
    time.sleep(600)
os.setsid()
if os.fork():
    os._exit(0)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
Path({path!r}).write_text(str(os.getpid()))
time.sleep(600)
"""


@pytest.fixture
def run_id() -> Iterator[str]:
    name = uuid.uuid4().hex
    yield name
    end_run(name)


def parent(script: str, logs: Path, run_id: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", PRELUDE + textwrap.dedent(script), str(logs), run_id]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    try:
        said, complained = process.communicate(timeout=240)
    finally:
        process.kill()  # harmless where it has ended
    return process.returncode, said, complained


def gone(run_id: str) -> bool:
    """Whether the run's processes end by themselves; a test that never sees it times out."""
    while processes_of(run_id):
        time.sleep(0.02)
    return True


def test_a_daemonised_grandchild_is_gone_after_the_stop(tmp_path: Path, run_id: str) -> None:
    mark = tmp_path / "pid"
    script = f"""
    become_subreaper()
    daemon = child("one", {DAEMON.format(path=str(mark))!r})
    until({str(mark)!r})
    print(stop_in_order([[daemon]], 8.0, lambda: False, lambda name: None))
    """
    assert finish(parent(script, tmp_path, run_id)) == (0, "[]\n", "")
    assert not psutil.pid_exists(int(mark.read_text()))
    assert processes_of(run_id) == []


def test_one_that_ignores_sigterm_is_killed_when_its_time_is_over(
    tmp_path: Path, run_id: str
) -> None:
    script = f"""
    become_subreaper()
    stubborn = child("one", {STUBBORN!r} + "print('up', flush=True); time.sleep(600)", grace=0.2)
    while not stubborn.has_logged("up"):
        time.sleep(0.01)
    print(stop_in_order([[stubborn]], 8.0, lambda: False, lambda name: None))
    """
    assert finish(parent(script, tmp_path, run_id)) == (0, "[]\n", "")
    assert processes_of(run_id) == []


def test_stages_are_stopped_in_their_order(tmp_path: Path, run_id: str) -> None:
    code = "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: ({}, sys.exit(0))); "
    note = "open({path!r}, 'a').write('{name} ')"
    order = tmp_path / "order"
    bodies = {
        name: code.format(note.format(path=str(order), name=name))
        + "print('up', flush=True); time.sleep(600)"
        for name in ("first", "second")
    }
    script = f"""
    become_subreaper()
    bodies = {bodies!r}
    children = {{name: child(name, body) for name, body in bodies.items()}}
    while not all(each.has_logged("up") for each in children.values()):
        time.sleep(0.01)
    stages = [[children["second"]], [children["first"]]]
    stop_in_order(stages, 8.0, lambda: False, say)
    """
    code_, said, complained = finish(parent(script, tmp_path, run_id))
    assert (code_, said, complained) == (0, "second\nfirst\n", "")
    assert order.read_text() == "second first "


def test_children_end_when_their_parent_was_killed(tmp_path: Path, run_id: str) -> None:
    script = """
    children = [child(f"c{i}", "import time; time.sleep(600)") for i in range(3)]
    say("up")
    time.sleep(600)
    """
    process = parent(script, tmp_path, run_id)
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    while len(processes_of(run_id)) < 3:  # just after its start one still bears no run's name
        time.sleep(0.02)
    process.kill()
    finish(process)
    assert gone(run_id)


def test_what_a_killed_parent_left_is_found_by_its_run_id_alone(
    tmp_path: Path, run_id: str
) -> None:
    mark = tmp_path / "pid"
    script = f"""
    become_subreaper()
    daemon = child("one", {DAEMON.format(path=str(mark))!r})
    until({str(mark)!r})
    say("up")
    time.sleep(600)
    """
    process = parent(script, tmp_path, run_id)
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    bystander = subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(600)"],
        env={**os.environ, RUN_VARIABLE: "another-run"},
    )
    try:
        process.kill()
        finish(process)
        assert end_run(run_id) >= 1
        assert not psutil.pid_exists(int(mark.read_text()))
        assert end_run(run_id) == 0
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


@pytest.mark.parametrize("moment", ["nothing", "one", "three", "stopping"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_at_any_moment_leaves_nothing(
    tmp_path: Path, run_id: str, moment: str, number: signal.Signals
) -> None:
    script = """
    become_subreaper()
    interrupts = Interrupts()
    interrupts.install()
    children = []
    def pause(moment):
        say(moment)
        if moment == sys.argv[3]:
            sys.stdin.readline()
    try:
        try:
            pause("nothing")
            children.append(child("a", "import time; time.sleep(600)"))
            pause("one")
            children += [child(name, "import time; time.sleep(600)") for name in "bc"]
            pause("three")
        finally:
            interrupts.closing()
            stop_in_order([children], 8.0, interrupts.hurry.is_set, lambda n: pause("stopping"))
    except Interrupted:
        sys.exit(130)
    """
    command = [sys.executable, "-c", PRELUDE + textwrap.dedent(script), str(tmp_path), run_id]
    process = subprocess.Popen(
        [*command, moment],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    while process.stdout.readline() != f"{moment}\n":
        pass
    process.send_signal(number)
    # Its standard input is closed only here: the pause lasts until the signal was sent.
    code, _, complained = finish(process)
    assert complained == ""
    assert code == (0 if moment == "stopping" else 130)
    assert processes_of(run_id) == []


def test_a_second_signal_ends_the_waiting(tmp_path: Path, run_id: str) -> None:
    script = f"""
    become_subreaper()
    interrupts = Interrupts()
    interrupts.install()
    stubborn = child("one", {STUBBORN!r} + "print('up', flush=True); time.sleep(600)", grace=3000.0)
    while not stubborn.has_logged("up"):
        time.sleep(0.01)
    try:
        say("up")
        time.sleep(600)
    except Interrupted:
        stop_in_order([[stubborn]], 4000.0, interrupts.hurry.is_set, say)
    """
    process = parent(script, tmp_path, run_id)
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    process.send_signal(signal.SIGINT)
    assert process.stdout.readline() == "one\n"
    process.send_signal(signal.SIGINT)
    assert finish(process)[0] == 0
    assert processes_of(run_id) == []


def test_last_lines_are_those_of_this_start(tmp_path: Path, run_id: str) -> None:
    for word in ("early", "late"):
        code = f"import sys; print('{word}'); sys.exit('{word} failure')"
        child = spawn(ChildSpec("one", [sys.executable, "-c", code], {}), tmp_path, run_id)
        assert child.process.wait(timeout=240) == 1
    assert sorted(child.last_lines()) == ["late", "late failure"]
    assert child.has_logged("late")
    assert not child.has_logged("early")


def test_a_command_that_is_not_there_says_so(tmp_path: Path, run_id: str) -> None:
    child = spawn(ChildSpec("one", ["/nowhere/program"], {}), tmp_path, run_id)
    assert child.process.wait(timeout=240) == 127
    assert child.last_lines() == ["cannot run /nowhere/program: No such file or directory"]


def test_another_process_under_a_recorded_number_is_not_taken_for_it() -> None:
    me = ProcessRecord.of_this_process()
    assert same_process(me.pid, me.started)
    assert not same_process(me.pid, me.started - 1000.0)


def test_a_child_takes_no_module_from_the_folder_of_the_call_and_writes_any_sign(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "kafka.py").write_text("raise SystemExit('the wrong one')")
    monkeypatch.chdir(tmp_path)
    for name, value in ("IOENCODING", "ascii"), ("OPTIMIZE", "2"), ("WARNINGS", "error"):
        monkeypatch.setenv(f"PYTHON{name}", value)
    code = "import kafka, sys; print('ä', kafka.__name__, sys.flags.optimize)"
    argv = [sys.executable, "-c", code]
    child = spawn(ChildSpec("child", argv, {}), tmp_path / "logs", uuid.uuid4().hex)
    child.process.wait(240)
    assert child.last_lines() == ["ä kafka 0"]


def test_the_variable_of_a_run_is_one_that_settings_know() -> None:
    assert RUN_VARIABLE == names.RUN_VARIABLE
