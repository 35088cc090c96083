"""The children of one run: started, watched, started again after a death, stopped in order."""

from __future__ import annotations

import functools
import signal
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from everfresh.contracts.errors import RunError
from everfresh.infra.processes.processes import Child, ChildSpec, reap_orphans, spawn, stop_in_order
from everfresh.infra.processes.restarts import RestartPolicy
from everfresh.infra.run.run_record import ProcessRecord


class StepUpdate(msgspec.Struct, frozen=True):
    """Progress of a step or a component, told to the operator as it happens.

    ``what`` is ``begins``, ``waits``, ``done``, ``died``, ``held``, ``restarted``, ``warning`` or
    ``stopping``; ``text`` is a short line and ``seconds`` how long the step
    took, for ``done``, or has taken, for ``waits``.
    """

    step: str
    what: str
    text: str = ""
    seconds: float = 0.0


OnUpdate = Callable[[StepUpdate], None]
Missing = Callable[[str], str | None]
"""Asked for the name of a need: ``None`` where it answers, else its words for the operator."""

_LOOK_S = 1.0  # between two looks at what does not answer, because a look may take a second
_ERROR = "error: "  # begins the line that ``run_main`` writes for a known error


class Children:
    """The processes of a run by name. ``needs`` names what each one needs, by component.

    A component that died is started again only while ``missing`` says that its needs answer. They
    need not be children: a broker or a Ray may be run by somebody else.

    Not thread-safe: one thread, the one that supervises, calls everything here.
    """

    def __init__(
        self,
        logs: Path,
        run_id: str,
        needs: Mapping[str, Sequence[str]],
        missing: Missing,
        on_update: OnUpdate,
        policy: RestartPolicy | None = None,
    ) -> None:
        self._logs = logs
        self._run_id = run_id
        self._needs = needs
        self._missing = missing
        self._look_at_s = 0.0
        self._held: set[str] = set()
        self._on_update = on_update
        self._policy = policy or RestartPolicy()
        self._running: dict[str, Child] = {}
        self._due: dict[str, tuple[float, ChildSpec]] = {}

    def start(self, spec: ChildSpec) -> Child:
        """Start a process. One that is not named in ``needs`` is never restarted."""
        child = spawn(spec, self._logs, self._run_id)
        self._running[spec.name] = child
        return child

    def get(self, name: str) -> Child | None:
        """A running component."""
        return self._running.get(name)

    def absent(self) -> list[str]:
        """Components that died and are not started again yet."""
        return sorted(self._due)

    def records(self) -> dict[str, ProcessRecord]:
        """The running processes, as the run record lists them."""
        return {
            name: ProcessRecord(child.pid, child.started, str(child.log))
            for name, child in self._running.items()
        }

    def last_line(self, name: str) -> str:
        """The newest line of a component's log, for a view of a long step."""
        child = self._running.get(name)
        lines = child.last_lines(1) if child else []
        return " ".join(lines[0].split()) if lines else ""

    def require_alive(self) -> None:
        """``RunError`` with the end of its log where a process ended while the run was starting."""
        for child in self._running.values():
            code = child.exit_code()
            if code is not None:
                raise RunError(_death_message(child, code, "while the run was starting"))

    def watch(self, now_s: float) -> bool:
        """Notice deaths and restart what is due; True where the processes changed.

        ``RunError`` when a component died too often. ``now_s`` is a monotonic time.
        """
        changed = False
        missing = functools.cache(self._missing)  # several may need the same
        for name, child in list(self._running.items()):
            code = child.exit_code()
            if code is not None and name in self._needs:
                self._handle_death(child, code, now_s, missing)
                changed = True
        changed |= self._restart_due(now_s, missing)
        reap_orphans(list(self._running.values()))
        return changed

    def _restart_due(self, now_s: float, missing: Missing) -> bool:
        """Start again what is due and has what it needs; True where something was started."""
        due = [(name, spec) for name, (at, spec) in self._due.items() if now_s >= at]
        if not due or now_s < self._look_at_s:
            return False
        started = False
        for name, spec in due:
            if need := self._first_missing(name, missing):
                self._look_at_s = now_s + _LOOK_S
                self._hold(name, need)
                continue
            del self._due[name]
            self._held.discard(name)
            self.start(spec)
            self._on_update(StepUpdate(name, "restarted", f"{name} was started again"))
            started = True
        return started

    def _first_missing(self, name: str, missing: Missing) -> str | None:
        """The words for the first of its needs that does not answer."""
        return next(filter(None, map(missing, self._needs[name])), None)

    def _hold(self, name: str, need: str) -> None:
        """Say, once, that it is not started yet."""
        if name not in self._held:
            self._held.add(name)
            text = f"{name} is not started yet: {need} does not answer"
            self._on_update(StepUpdate(name, "held", text))

    def _handle_death(self, child: Child, code: int, now_s: float, missing: Missing) -> None:
        del self._running[child.name]
        pause = self._policy.pause_after_death(child.name, now_s)
        if pause is None:
            raise RunError(_death_message(child, code, "once too often; the run is stopped"))
        self._due[child.name] = (now_s + pause, child.spec)
        lines = child.last_lines()
        last = _named_error(lines) or (lines[-1] if lines else "")
        why = f": {last}" if last else ""
        need = self._first_missing(child.name, missing)
        if need:
            self._held.add(child.name)
        when = f"once {need} answers" if need else f"in {pause:.1f} s"
        text = f"{child.name} {_ending(code)}{why}; it is started again {when}"
        self._on_update(StepUpdate(child.name, "died", text))

    def stop(
        self, order: Sequence[Sequence[str]], budget_s: float, hurry: Callable[[], bool]
    ) -> list[str]:
        """End everything, and everything below it, within the budget; see ``stop_in_order``."""
        self._due.clear()
        named = {name for stage in order for name in stage}
        others = [child for name, child in self._running.items() if name not in named]
        stages = [others]
        for names in order:
            stages.append([self._running[name] for name in names if name in self._running])
        left = stop_in_order(
            stages,
            budget_s,
            hurry,
            lambda name: self._on_update(StepUpdate(name, "stopping", name)),
        )
        self._running.clear()
        return left


def _death_message(child: Child, code: int, when: str) -> str:
    lines = child.last_lines()
    if named := _named_error(lines):
        return f"{child.name}: {named.removeprefix(_ERROR)}"
    tail = "".join(f"\n    {line}" for line in lines) or " it is empty"
    return f"{child.name} {_ending(code)} {when}; the end of {child.log}:{tail}"


def _named_error(lines: Sequence[str]) -> str | None:
    """The one clear line that a component writes for an error that the operator can correct.

    It need not be the last: a library's threads may still write while the process ends.
    """
    return next((line for line in reversed(lines) if line.startswith(_ERROR)), None)


def _ending(code: int) -> str:
    if code < 0:
        return f"was ended by {signal.Signals(-code).name}"
    return f"ended with exit code {code}"
