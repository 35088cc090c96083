"""The ``Assigner`` that asks a feature-flag system through OpenFeature.

Nothing else names OpenFeature. The provider is the operator's own code, and may ask over a network,
hang or raise: an answer waits for it until the deadline at most.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import queue
import threading
from collections.abc import Awaitable, Callable, Collection, Mapping
from concurrent.futures import Future
from typing import Any

from everfresh.adapters.assigners.named import named_assignments
from everfresh.contracts.errors import MissingDependency, SettingsError
from everfresh.contracts.event import UserId
from everfresh.contracts.experiments.assignment import NO_EXPERIMENT, Assignment, Assignments
from everfresh.contracts.experiments.definition import DEFAULT

try:
    from openfeature import api
    from openfeature.evaluation_context import EvaluationContext
    from openfeature.flag_evaluation import FlagEvaluationDetails
    from openfeature.provider import AbstractProvider, FeatureProvider
except ImportError:
    raise MissingDependency(
        "experiments.assigner is openfeature, and the OpenFeature SDK is not installed; install "
        "everfresh[openfeature] where the replicas run"
    ) from None

_LOG = logging.getLogger(__name__)
_DOMAIN = "everfresh"
_ASKING = 4
"""Questions under way at once, each in a thread of its own. Others queue up to the deadline; while
all that are under way hang past it, nobody waits."""
_START_S = 5.0

_Details = FlagEvaluationDetails[str]
_Question = tuple[str, "Future[_Details]"]


def provider_of(place: str) -> FeatureProvider:
    """The provider that the function at ``MODULE:FUNCTION`` makes; ``SettingsError`` where none."""
    module, _, name = place.partition(":")
    try:
        made = getattr(importlib.import_module(module), name)()
    except Exception as error:
        raise SettingsError(
            f"experiments.provider is {place}, and no provider comes of it "
            f"({type(error).__name__}: {error}); name a function without arguments, in a module "
            "that the replicas can import, that returns an OpenFeature provider"
        ) from None
    if not isinstance(made, AbstractProvider):
        raise SettingsError(
            f"experiments.provider is {place}, which returned a {type(made).__name__}; it must "
            "return an OpenFeature provider (openfeature.provider.AbstractProvider)"
        )
    return made


class OpenFeatureAssigner:
    """Asks for the string flag ``flag`` with the user id as the targeting key.

    The arm is the flag's value. It is the default arm, in no experiment, where the value is none of
    ``arms``, the provider reports an error or is not ready, or nothing came within ``deadline_ms``;
    each is counted by its cause. Hooks of the OpenFeature API and of the provider run as usual.
    """

    def __init__(
        self,
        provider: FeatureProvider,
        flag: str,
        arms: Collection[str],
        deadline_ms: int,
        tracks: Mapping[str, str] | None = None,
    ) -> None:
        self._flag = flag
        self._assignments = named_assignments(flag, arms, tracks or {})
        self._deadline_s = deadline_ms / 1000
        self._lock = threading.Lock()
        self._hanging: set[Future[_Details]] = set()
        self._missed = {"late": 0, "failed": 0, "unknown_arm": 0}
        self._reason = ""
        self._questions: queue.SimpleQueue[_Question | None] = queue.SimpleQueue()
        self._client = api.get_client(domain=_DOMAIN)
        # A provider may wait for its server, and answers must not wait for that.
        _within(_START_S, lambda: api.set_provider_and_wait(provider, _DOMAIN))
        for number in range(_ASKING):
            # Daemons: one that hangs in a provider must not keep the process from ending.
            threading.Thread(target=self._ask, name=f"openfeature {number}", daemon=True).start()

    def assign(self, user: UserId, named: str | None) -> Assignment:
        """See the port."""
        future = self._put(user)
        if future is None:
            return self._hangs()
        try:
            return self._arm_of(future.result(self._deadline_s))
        except Exception as error:
            return self._failed(future, error)

    def asking(self, user: UserId, named: str | None) -> Awaitable[Assignment]:
        """See the port."""
        return self._ask_later(self._put(user))

    async def _ask_later(self, future: Future[_Details] | None) -> Assignment:
        if future is None:
            return self._hangs()
        try:
            async with asyncio.timeout(self._deadline_s):
                return self._arm_of(await asyncio.wrap_future(future))
        except Exception as error:
            return self._failed(future, error)

    def _put(self, user: UserId) -> Future[_Details] | None:
        """The question, which is under way or queued; ``None`` where all that were asked hang."""
        with self._lock:
            if len(self._hanging) == _ASKING:
                return None
        future: Future[_Details] = Future()
        self._questions.put((str(user), future))
        return future

    def _hangs(self) -> Assignment:
        with self._lock:
            return self._missed_by("late", "all earlier questions still wait for the provider")

    def _failed(self, future: Future[_Details], error: Exception) -> Assignment:
        cause, why = "failed", f"{type(error).__name__}: {error}"
        if isinstance(error, TimeoutError):
            cause, why = "late", "no arm came within experiments.deadline_ms"
        with self._lock:
            # One that still waits in the queue is never asked.
            if not future.cancel() and not future.done():
                self._hanging.add(future)
            return self._missed_by(cause, why)

    def definitions(self) -> Assignments:
        """See the port; there are none."""
        return Assignments()

    def figures(self) -> dict[str, Any]:
        """See the port."""
        with self._lock:
            missed = {f"experiments_{cause}": number for cause, number in self._missed.items()}
            return {**missed, "experiments_reason": self._reason}

    def close(self) -> None:
        """End the threads that are idle, and the provider; one that hangs is left behind."""
        for _ in range(_ASKING):
            self._questions.put(None)
        _within(_START_S, api.clear_providers)

    def _ask(self) -> None:
        while (question := self._questions.get()) is not None:
            user, future = question
            if not future.set_running_or_notify_cancel():
                continue
            try:
                context = EvaluationContext(targeting_key=user)
                future.set_result(self._client.get_string_details(self._flag, DEFAULT, context))
            except Exception as error:
                future.set_exception(error)
            with self._lock:
                self._hanging.discard(future)

    def _arm_of(self, details: _Details) -> Assignment:
        if details.error_code is None and details.value in self._assignments:
            return self._assignments[details.value]
        if details.error_code is None and details.value == DEFAULT:
            return NO_EXPERIMENT
        cause, why = "failed", f"{details.error_code}: {details.error_message}"
        if details.error_code is None:
            cause = "unknown_arm"
            why = f"the value {ascii(details.value)[:80]} is none of experiments.arms"
        with self._lock:
            return self._missed_by(cause, why)

    def _missed_by(self, cause: str, why: str) -> Assignment:
        """Called with the lock held. Each cause is said once, when it is another than before."""
        self._missed[cause] += 1
        if why != self._reason:
            self._reason = why
            _LOG.warning("flag %s gives no arm, so it is the default arm: %s", self._flag, why)
        return NO_EXPERIMENT


def _within(seconds: float, call: Callable[[], object]) -> None:
    """Waits for the call at most so long; what it raises is said."""

    def work() -> None:
        try:
            call()
        except Exception as error:
            _LOG.warning("OpenFeature: %s: %s", type(error).__name__, error)

    thread = threading.Thread(target=work, name="openfeature", daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        _LOG.warning("the OpenFeature provider did not come to an end within %s s", seconds)
