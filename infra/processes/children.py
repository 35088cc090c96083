"""The children of one run: started, watched, started again after a death, stopped in order."""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from everfresh.contracts.errors import RunError
from everfresh.infra.processes.processes import Child, ChildSpec, reap_orphans, spawn, stop_in_order
from everfresh.infra.processes.restarts import RestartPolicy
from everfresh.infra.run.run_record import ProcessRecord


class Note(msgspec.Struct, frozen=True):
    """One thing the operator should see, as it happens.

    ``what`` is ``begins``, ``waits``, ``done``, ``died``, ``restarted`` or ``stopping``; ``text``
    is a short line and ``seconds`` how long the step took, for ``done``.
    """

    step: str
    what: str
    text: str = ""
    seconds: float = 0.0


Said = Callable[[Note], None]
_MISTAKE = "error: "  # how infra.logs.run_main begins the line of a known error


class Children:
    """The processes of a run by name. ``needs`` tells which others must run before a restart.

    Not thread-safe: one thread, the one that supervises, calls everything here.
    """

    def __init__(
        self,
        logs: Path,
        run_id: str,
        needs: Mapping[str, Sequence[str]],
        said: Said,
        policy: RestartPolicy | None = None,
    ) -> None:
        self._logs = logs
        self._run_id = run_id
        self._needs = needs
        self._said = said
        self._policy = policy or RestartPolicy()
        self._running: dict[str, Child] = {}
        self._due: dict[str, tuple[float, ChildSpec]] = {}

    def start(self, spec: ChildSpec) -> Child:
        """Start a component. One that is piped or unnamed in ``needs`` is never restarted."""
        child = spawn(spec, self._logs, self._run_id)
        self._running[spec.name] = child
        return child

    def get(self, name: str) -> Child | None:
        """A running component."""
        return self._running.get(name)

    def records(self) -> dict[str, ProcessRecord]:
        """What the run record says of them."""
        return {
            name: ProcessRecord(child.pid, child.started, str(child.log))
            for name, child in self._running.items()
        }

    def last_line(self, name: str) -> str:
        """The newest line of a component's log, for a view of a long step."""
        child = self._running.get(name)
        lines = child.last_lines(1) if child else []
        return lines[0] if lines else ""

    def require_alive(self) -> None:
        """``RunError`` with its last words where a component ended while the run was starting."""
        for child in self._running.values():
            code = child.exit_code()
            if code is not None:
                raise RunError(_obituary(child, code, "while the run was starting"))

    def watch(self, now_s: float) -> bool:
        """Notice deaths and start again what is due; True where the processes changed.

        ``RunError`` when a component died too often. ``now_s`` is a monotonic time.
        """
        changed = False
        for name, child in list(self._running.items()):
            code = child.exit_code()
            if code is not None and name in self._needs:
                self._bury(child, code, now_s)
                changed = True
        for name, (due, spec) in list(self._due.items()):
            if now_s >= due and all(need in self._running for need in self._needs[name]):
                del self._due[name]
                self.start(spec)
                self._said(Note(name, "restarted", f"{name} was started again"))
                changed = True
        reap_orphans(list(self._running.values()))
        return changed

    def _bury(self, child: Child, code: int, now_s: float) -> None:
        del self._running[child.name]
        pause = self._policy.pause_after_death(child.name, now_s)
        if pause is None:
            raise RunError(_obituary(child, code, "once too often; the run is stopped"))
        self._due[child.name] = (now_s + pause, child.spec)
        last = child.last_lines(1)
        why = f": {last[0]}" if last else ""
        text = f"{child.name} {_ending(code)}{why}; it is started again in {pause:.1f} s"
        self._said(Note(child.name, "died", text))

    def stop(
        self, order: Sequence[Sequence[str]], budget_s: float, hurry: Callable[[], bool]
    ) -> list[str]:
        """End everything, and everything below it, within the budget; see ``stop_in_order``."""
        self._due.clear()
        named = {name for stage in order for name in stage}
        others = [child for name, child in self._running.items() if name not in named]
        stages = [others]
        stages += [[self._running[name] for name in st if name in self._running] for st in order]
        left = stop_in_order(
            stages, budget_s, hurry, lambda name: self._said(Note(name, "stopping", name))
        )
        self._running.clear()
        return left


def _obituary(child: Child, code: int, when: str) -> str:
    lines = child.last_lines()
    if lines and lines[-1].startswith(_MISTAKE):
        # One clear line is what a component leaves for what the operator can mend.
        return f"{child.name}: {lines[-1].removeprefix(_MISTAKE)}"
    words = "".join(f"\n    {line}" for line in lines) or " it said nothing"
    return f"{child.name} {_ending(code)} {when}; the end of {child.log}:{words}"


def _ending(code: int) -> str:
    if code < 0:
        return f"was ended by {signal.Signals(-code).name}"
    return f"ended with exit code {code}"
