"""Child processes that never outlive the one that started them.

* Each child leads a session of its own, so a Ctrl-C in the terminal reaches the parent alone and
  the order of stopping stays the parent's choice.
* The kernel tells a child when its parent died (``adapters.machine.death_signal``).
* The parent is the *subreaper* of its descendants: a daemon whose own parent ended becomes a child
  of this process instead of process 1, so nothing it started can leave its tree.
* Every descendant inherits ``EVERFRESH_RUN_ID``. What a killed parent left behind is found by that
  value in its environment, and never by a name.
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
_PR_SET_CHILD_SUBREAPER = 36
_PR_GET_CHILD_SUBREAPER = 37
_TAIL_BYTES = 16_384
_PAUSE_S = 0.02
_KILL_RESERVE_S = 1.0


class ChildSpec(msgspec.Struct, frozen=True):
    """What to run. ``grace_s`` is how long it may take to stop after SIGTERM.

    With ``piped`` standard output is a pipe for the parent to read; else it goes to the log.
    """

    name: str
    argv: list[str]
    env: dict[str, str]
    grace_s: float = 3.0
    piped: bool = False


class Child:
    """A started process, its log, and where in the log this start begins."""

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

    def has_said(self, text: str) -> bool:
        """Whether the text stands in what this start has written to its log."""
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
    answer = ctypes.c_int(0)
    ctypes.CDLL(None).prctl(_PR_GET_CHILD_SUBREAPER, ctypes.byref(answer), 0, 0, 0)
    return bool(answer.value)


def spawn(spec: ChildSpec, logs: Path, run_id: str) -> Child:
    """Start a child; its output goes to ``logs/NAME.out``. Call from a thread that stays alive:
    the kernel's word on a dead parent is on the thread that started the child."""
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
    return {**os.environ, "PYTHONUNBUFFERED": "1", **more, RUN_VARIABLE: run_id}


def stop_in_order(
    stages: Sequence[Sequence[Child]],
    budget_s: float,
    hurry: Callable[[], bool],
    said: Callable[[str], None],
) -> list[str]:
    """SIGTERM one stage after the other, then SIGKILL every descendant that is left.

    Returns within ``budget_s`` whatever the children do: a stage gets the longest grace among its
    children, but never so long that less than a second is left for the killing. Returns what could
    not be killed, as ``pid name`` (nothing, unless a process hangs inside the kernel).
    """
    end = time.monotonic() + budget_s
    for stage in stages:
        alive = [child for child in stage if child.exit_code() is None]
        for child in alive:
            said(child.name)
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
    (``time.monotonic``). Killing a parent hands its children to us, hence the rounds."""
    while True:
        left = [one for one in psutil.Process().children(recursive=True) if not _ended(one)]
        if not left:
            # What has ended is collected here; left to process 1 it would show for a while longer.
            reap_orphans(())
            return []
        if time.monotonic() >= until:
            return [f"{one.pid} {_name(one)}" for one in left]
        for one in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.kill()
        reap_orphans(())
        time.sleep(_PAUSE_S)


def reap_orphans(known: Sequence[Child]) -> None:
    """Collect adopted children that have ended; those in ``known`` are left to their ``Popen``.

    Only safe while no other part of this process waits for a subprocess of its own.
    """
    ours = {child.pid for child in known}
    for one in psutil.Process().children():
        if one.pid not in ours and _zombie(one):
            with contextlib.suppress(ChildProcessError):
                os.waitpid(one.pid, os.WNOHANG)


def processes_of(run_id: str) -> list[psutil.Process]:
    """Every live process of this machine that carries the run's id, and what is below those: a
    program that rewrites its title (Ray's agents do) may have written over its environment."""
    found: set[psutil.Process] = set()
    for one in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if one.pid != os.getpid() and one.environ().get(RUN_VARIABLE) == run_id:
                found |= {one, *one.children(recursive=True)}
    return [one for one in found if not _ended(one)]


def end_run(run_id: str, budget_s: float = 8.0) -> int:
    """End what an earlier run left behind: SIGTERM, then SIGKILL. Returns how many there were."""
    left = processes_of(run_id)
    count = len(left)
    end = time.monotonic() + budget_s
    for number, share in ((signal.SIGTERM, 0.5), (signal.SIGKILL, 1.0)):
        until = end - budget_s * (1.0 - share)
        while left and time.monotonic() < until:
            for one in left:
                with contextlib.suppress(psutil.NoSuchProcess):
                    one.send_signal(number)
            psutil.wait_procs(left, timeout=max(0.05, (until - time.monotonic()) / 2))
            left = processes_of(run_id)
    return count


def same_process(pid: int, started: float) -> bool:
    """Whether the process that was started then still runs under that number."""
    with contextlib.suppress(psutil.Error):
        one = psutil.Process(pid)
        return abs(one.create_time() - started) < 1.0 and not _ended(one)
    return False


def _create_time(pid: int) -> float:
    with contextlib.suppress(psutil.Error):
        return psutil.Process(pid).create_time()
    return 0.0


def _zombie(one: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):
        return bool(one.status() == psutil.STATUS_ZOMBIE)
    return False


def _ended(one: psutil.Process) -> bool:
    return not one.is_running() or _zombie(one)


def _name(one: psutil.Process) -> str:
    with contextlib.suppress(psutil.Error):
        return one.name()
    return "?"
