"""Child processes of a run, and how to end them and everything they started.

* Each child leads a session of its own. A Ctrl-C in the terminal reaches the parent alone, which
  chooses the order of stopping.
* A child receives SIGTERM when its parent dies (``adapters.machine.death_signal``).
* The parent is the *subreaper* of its descendants: a daemon whose own parent ended becomes a child
  of this process instead of process 1. So nothing that was started can leave the tree.
* Every descendant inherits ``EVERFRESH_RUN_ID``. Processes that a killed parent left behind are
  found by that value in their environment, and never by a name.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec
import psutil

from everfresh.adapters.machine.death_signal import with_death_signal
from everfresh.contracts.errors import MissingDependency

RUN_VARIABLE = "EVERFRESH_RUN_ID"
"""Once more in ``contracts.settings.names``, as settings are slow to load and help needs none."""
PYTHON = {
    "PYTHONUNBUFFERED": "1",
    # Whoever calls us may have asked for less, which would make an error of a sign in a log line.
    "PYTHONIOENCODING": "utf-8:backslashreplace",
    # A kafka.py in the folder of the call is not the library.
    "PYTHONSAFEPATH": "1",
    # Ray cannot be loaded without its docstrings, and libraries warn as they are loaded.
    "PYTHONOPTIMIZE": "",
    "PYTHONWARNINGS": "",
}
"""Variables of every child in Python."""
_PR_SET_CHILD_SUBREAPER = 36
_PR_GET_CHILD_SUBREAPER = 37
_TAIL_BYTES = 16_384
_PAUSE_S = 0.02
_KILL_RESERVE_S = 1.0


class ChildSpec(msgspec.Struct, frozen=True):
    """A command to run. ``grace_s`` is how many seconds it may take to stop after SIGTERM.

    With ``piped`` its standard output is a pipe that the parent reads; else it goes to the log.
    """

    name: str
    argv: list[str]
    env: dict[str, str]
    grace_s: float = 3.0
    piped: bool = False


class Child:
    """A started process, its log file, and where in the file this start begins."""

    def __init__(self, spec: ChildSpec, process: subprocess.Popen[bytes], log: Path, at: int):
        self.spec = spec
        self.log = log
        self.process = process
        self._at = at
        self.started = _create_time(process.pid)

    @property
    def name(self) -> str:
        """The name of its spec."""
        return self.spec.name

    @property
    def pid(self) -> int:
        """Its process id, which is its process group and session as well."""
        return self.process.pid

    def exit_code(self) -> int | None:
        """``None`` while it runs; minus the signal number where a signal ended it."""
        return self.process.poll()

    def terminate(self) -> None:
        """SIGTERM, unless it is gone."""
        if self.process.poll() is None:
            self.process.terminate()

    def has_logged(self, text: str) -> bool:
        """Whether the text is in what this start has written to its log."""
        with contextlib.suppress(OSError), self.log.open("rb") as file:
            file.seek(self._at)
            return text.encode() in file.read()
        return False

    def last_lines(self, number: int = 8) -> list[str]:
        """The end of what this start has written to its log."""
        with contextlib.suppress(OSError), self.log.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(self._at, size - _TAIL_BYTES))
            lines = file.read().decode(errors="replace").splitlines()
            return [line.rstrip() for line in lines if line.strip()][-number:]
        return []


def become_subreaper() -> None:
    """Adopt every orphan among this process's descendants from now on (Linux)."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def is_subreaper() -> bool:
    """Whether :func:`become_subreaper` was called, so that all descendants are this process's."""
    value = ctypes.c_int(0)
    ctypes.CDLL(None).prctl(_PR_GET_CHILD_SUBREAPER, ctypes.byref(value), 0, 0, 0)
    return bool(value.value)


def spawn(spec: ChildSpec, logs: Path, run_id: str) -> Child:
    """Start a child; its output goes to ``logs/NAME.out``.

    Call it from a thread that lives as long as the child: the kernel ends the child with the thread
    that started it. ``ChildProcess`` has a thread of its own for that.
    """
    logs.mkdir(parents=True, exist_ok=True)
    log = logs / f"{spec.name}.out"
    with log.open("ab") as file:
        at = file.tell()
        try:
            process = subprocess.Popen(
                with_death_signal(spec.argv, signal.SIGTERM),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if spec.piped else file,
                stderr=file,
                env=_environment(spec.env, run_id),
                start_new_session=True,
            )
        except OSError as error:
            raise MissingDependency(f"cannot start {spec.name}: {error}") from error
    return Child(spec, process, log, at)


def _environment(more: Mapping[str, str], run_id: str) -> dict[str, str]:
    return {**os.environ, **PYTHON, **more, RUN_VARIABLE: run_id}


def stop_in_order(
    stages: Sequence[Sequence[Child]],
    budget_s: float,
    hurry: Callable[[], bool],
    on_stop: Callable[[str], None],
) -> list[str]:
    """SIGTERM one stage after the other, then SIGKILL every descendant that is left.

    Returns within ``budget_s`` seconds whatever the children do. A stage gets the longest grace
    among its children, but always leaves a second for SIGKILL. ``on_stop`` is called with each
    child's name; ``hurry`` ends the waiting once it is true. Returns the processes that could not
    be killed, as ``pid name`` (none, unless one hangs inside the kernel).
    """
    end = time.monotonic() + budget_s
    for stage in stages:
        alive = [child for child in stage if child.exit_code() is None]
        for child in alive:
            on_stop(child.name)
            child.terminate()
        grace = max((child.spec.grace_s for child in alive), default=0.0)
        until = min(time.monotonic() + grace, end - _KILL_RESERVE_S)
        while any(child.exit_code() is None for child in alive):
            if time.monotonic() >= until or hurry():
                break
            time.sleep(_PAUSE_S)
    return end_descendants(max(end, time.monotonic() + _KILL_RESERVE_S))


def end_descendants(until: float) -> list[str]:
    """SIGKILL everything below this process until nothing is left or the time is ``until``
    (``time.monotonic``). Killing a parent makes its children ours, hence the rounds."""
    while True:
        descendants = psutil.Process().children(recursive=True)
        left = [process for process in descendants if not _ended(process)]
        if not left:
            # Collected here, because process 1 would show them for a while longer.
            reap_orphans(())
            return []
        if time.monotonic() >= until:
            return [f"{process.pid} {_process_name(process)}" for process in left]
        for process in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        reap_orphans(())
        time.sleep(_PAUSE_S)


def reap_orphans(known: Sequence[Child]) -> None:
    """Collect adopted children that have ended; those in ``known`` are left to their ``Popen``.

    Costs a system call where none has ended. One of ``known`` that has ended and was not collected
    yet hides those after it, until the next call. Safe only while no other part of this process
    waits for a subprocess of its own.
    """
    ours = {child.pid for child in known}
    with contextlib.suppress(ChildProcessError):
        while ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            if ended.si_pid in ours:
                return
            os.waitpid(ended.si_pid, os.WNOHANG)


def processes_of(run_id: str) -> list[psutil.Process]:
    """Every live process of this machine that has the run's id, with all its descendants.

    Descendants count because a program that rewrites its title, as Ray's agents do, may have
    overwritten its environment.
    """
    of_run: set[psutil.Process] = set()
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid != os.getpid() and process.environ().get(RUN_VARIABLE) == run_id:
                of_run |= {process, *process.children(recursive=True)}
    return [process for process in of_run if not _ended(process)]


def end_run(run_id: str, budget_s: float = 8.0) -> int:
    """End the processes that an earlier run left: SIGTERM, then SIGKILL. Returns how many."""
    left = processes_of(run_id)
    count = len(left)
    end = time.monotonic() + budget_s
    for number, share in ((signal.SIGTERM, 0.5), (signal.SIGKILL, 1.0)):
        until = end - budget_s * (1.0 - share)
        while left and time.monotonic() < until:
            for process in left:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.send_signal(number)
            psutil.wait_procs(left, timeout=max(0.05, (until - time.monotonic()) / 2))
            left = processes_of(run_id)
    return count


def same_process(pid: int, started: float) -> bool:
    """Whether the process with this id and start time still runs."""
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(pid)
        return abs(process.create_time() - started) < 1.0 and not _ended(process)
    return False


def _create_time(pid: int) -> float:
    with contextlib.suppress(psutil.Error):
        return psutil.Process(pid).create_time()
    return 0.0


def _zombie(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    return False


def _ended(process: psutil.Process) -> bool:
    return not process.is_running() or _zombie(process)


def _process_name(process: psutil.Process) -> str:
    with contextlib.suppress(psutil.Error):
        return process.name()
    return "?"
