"""What becomes of an answer when the feature-flag system is slow, wrong, or away."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from openfeature import api
from openfeature.exception import GeneralError, ProviderFatalError
from openfeature.flag_evaluation import FlagResolutionDetails
from openfeature.hook import Hook
from openfeature.provider import AbstractProvider
from openfeature.provider.in_memory_provider import InMemoryFlag, InMemoryProvider

from everfresh.adapters.assigners.openfeature import OpenFeatureAssigner, provider_of
from everfresh.contracts.errors import SettingsError
from everfresh.contracts.experiments.assignment import NO_EXPERIMENT, Assignment

LONG_MS = 240_000


class Answering(InMemoryProvider):
    """Says what ``say`` makes of the targeting key."""

    def __init__(self, say: Callable[[str | None], str]) -> None:
        super().__init__({})
        self._say = say

    def resolve_string_details(
        self, flag_key: str, default_value: str, evaluation_context: Any = None
    ) -> FlagResolutionDetails[str]:
        assert flag_key == "green"
        return FlagResolutionDetails(self._say(evaluation_context.targeting_key))


class Opened:
    def __init__(self) -> None:
        self.open: list[OpenFeatureAssigner] = []

    def __call__(self, provider: AbstractProvider, deadline_ms: int = LONG_MS) -> Any:
        made = OpenFeatureAssigner(provider, "green", ("control", "treatment"), deadline_ms)
        self.open.append(made)
        return made


@pytest.fixture
def opened() -> Iterator[Opened]:
    made = Opened()
    yield made
    for each in made.open:
        each.close()
    api.shutdown()


def test_the_arm_is_the_value_of_the_flag_for_the_user_as_the_targeting_key(
    opened: Opened,
) -> None:
    asked: list[str | None] = []

    def say(user: str | None) -> str:
        asked.append(user)
        return "treatment"

    assigner = opened(Answering(say))
    assert assigner.assign(7, None) == Assignment("green", "treatment")
    assert assigner.assign("u-1", None) == Assignment("green", "treatment")
    assert asked == ["7", "u-1"]


def test_a_value_that_is_no_known_arm_is_the_default_arm_and_is_counted(
    opened: Opened, caplog: pytest.LogCaptureFixture
) -> None:
    assigner = opened(Answering(lambda _: "\x1b[2J"))
    assert [assigner.assign(user, None) for user in range(3)] == [NO_EXPERIMENT] * 3
    assert assigner.figures()["experiments_unknown_arm"] == 3
    assert caplog.text.count(r"the value '\x1b[2J' is none of experiments.arms") == 1


def test_the_value_default_is_no_experiment_and_no_fault(opened: Opened) -> None:
    assigner = opened(Answering(lambda _: "default"))
    assert assigner.assign(7, None) == NO_EXPERIMENT
    assert assigner.figures() == {
        "experiments_late": 0,
        "experiments_failed": 0,
        "experiments_unknown_arm": 0,
        "experiments_reason": "",
    }


def test_a_provider_that_raises_is_the_default_arm(opened: Opened) -> None:
    def say(_: str | None) -> str:
        raise GeneralError("the flag server is away")

    assigner = opened(Answering(say))
    assert assigner.assign(7, None) == NO_EXPERIMENT
    assert "the flag server is away" in assigner.figures()["experiments_reason"]
    assert assigner.figures()["experiments_failed"] == 1


def test_a_flag_that_is_missing_is_the_default_arm(opened: Opened) -> None:
    assigner = opened(InMemoryProvider({"other": InMemoryFlag("a", {"a": "control"})}))
    assert assigner.assign(7, None) == NO_EXPERIMENT
    assert "FLAG_NOT_FOUND" in assigner.figures()["experiments_reason"]


def test_a_provider_that_hangs_costs_the_deadline_and_then_nothing(opened: Opened) -> None:
    free = threading.Event()

    def say(_: str | None) -> str:
        free.wait(240)
        return "treatment"

    assigner = opened(Answering(say), deadline_ms=1)
    asked = 0
    while len(assigner._hanging) < 4:  # one that no asker took in time was never asked
        assert assigner.assign(asked, None) == NO_EXPERIMENT
        asked += 1
    # All askers hang: no further question waits, whatever the deadline is.
    assigner._deadline_s = 600
    for user in range(100):
        assert assigner.assign(user, None) == NO_EXPERIMENT
    assert assigner.figures()["experiments_late"] == asked + 100
    assert "all earlier questions" in assigner.figures()["experiments_reason"]
    free.set()
    while (found := assigner.assign(7, None)) == NO_EXPERIMENT:
        threading.Event().wait(0.005)
    assert found == Assignment("green", "treatment")


def test_hooks_of_the_api_and_of_the_provider_run(opened: Opened) -> None:
    steps: list[str] = []

    class Noting(Hook):
        def before(self, hook_context: Any, hints: Any) -> None:
            steps.append(f"before {hook_context.flag_key}")

        def after(self, hook_context: Any, details: Any, hints: Any) -> None:
            steps.append(f"after {details.value}")

        def finally_after(self, hook_context: Any, details: Any, hints: Any) -> None:
            steps.append("finally")

    class Hooked(Answering):
        def get_provider_hooks(self) -> list[Hook]:
            return [Noting()]

    api.add_hooks([Noting()])
    assert opened(Hooked(lambda _: "control")).assign(7, None).arm == "control"
    assert steps == ["before green"] * 2 + ["after control"] * 2 + ["finally"] * 2


def test_a_provider_that_cannot_start_is_the_default_arm(opened: Opened) -> None:
    class Broken(Answering):
        def initialize(self, evaluation_context: Any) -> None:
            raise ProviderFatalError("no licence")

    assert opened(Broken(lambda _: "control")).assign(7, None) == NO_EXPERIMENT


MODULE = """
from openfeature.provider.in_memory_provider import InMemoryProvider
def good(): return InMemoryProvider({})
def none(): return None
def broken(): raise RuntimeError("no key")
def asks(x): return x
"""


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("absent_flags:good", "No module named 'absent_flags'"),
        ("shop_flags:absent", "no attribute 'absent'"),
        ("shop_flags:broken", "RuntimeError: no key"),
        ("shop_flags:asks", "missing 1 required positional argument"),
        ("shop_flags:none", "returned a NoneType; it must return an OpenFeature provider"),
    ],
)
def test_a_setting_that_gives_no_provider_is_refused_in_one_line(
    place: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "shop_flags.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "shop_flags", raising=False)
    assert isinstance(provider_of("shop_flags:good"), InMemoryProvider)
    with pytest.raises(SettingsError, match=message) as refused:
        provider_of(place)
    assert f"experiments.provider is {place}" in str(refused.value)
