"""Round after round of looks at all experiments that have a guardrail, and what there is to say of
them. Knows no process, so that it is tested without one."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from everfresh.contracts.errors import EverfreshError
from everfresh.contracts.experiments.metric import Metric
from everfresh.contracts.report import ComponentStatus
from everfresh.experiments.lifecycle import Known
from everfresh.infra.guard.looking import guarded

NAME = "guard"
"""Of its status, its log, its metrics and its component."""
_LOG = logging.getLogger("everfresh.guard")


class GuardRounds:
    """``known`` gives the definitions as they are now, ``look`` looks at one experiment and acts;
    both may raise. ``round`` is called by one thread, ``status`` by any."""

    def __init__(
        self,
        known: Callable[[], Known],
        look: Callable[[str], list[str]],
        metrics: Sequence[Metric],
    ) -> None:
        self._known = known
        self._look = look
        self._metrics = metrics
        self._said: dict[str, list[str]] = {}
        self.guarded: list[str] = []
        self.looks = 0
        self.reason = ""
        """Why the last round did not see everything; empty where it did."""

    def round(self) -> None:
        """Look at each once. What fails is said once for each cause, and looked at again in the
        next round; it keeps no other from being looked at."""
        reasons: list[str] = []
        try:
            self.guarded = guarded(self._known(), self._metrics)
        except Exception as error:
            self._say("", reasons, error)
        else:
            for name in self.guarded:
                try:
                    self._tell(name, self._look(name))
                    self.looks += 1
                except Exception as error:
                    self._say(f"{name}: ", reasons, error)
        self.reason = "; ".join(reasons)

    def status(self, now_ms: int, state: str) -> ComponentStatus:
        """How it stands."""
        figures = {
            "guarded": len(self.guarded),
            "looks": self.looks,
            "waiting": int(bool(self.reason)),
            "reason": self.reason,
        }
        return ComponentStatus(NAME, NAME, now_ms, state, figures)

    def _tell(self, name: str, lines: list[str]) -> None:
        """In the log, where they are others than at the last look."""
        if self._said.get(name) != lines:
            self._said[name] = lines
            for line in lines:
                _LOG.info("%s: %s", name, line)

    def _say(self, of: str, reasons: list[str], error: Exception) -> None:
        known = isinstance(error, EverfreshError)
        reason = f"{of}{error}" if known else f"{of}unexpected {type(error).__name__}: {error}"
        reasons.append(reason)
        if reason not in self.reason:
            _LOG.error("%s", reason, exc_info=None if known else error)
