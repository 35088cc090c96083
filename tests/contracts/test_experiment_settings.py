"""Which settings of experiments go together."""

from __future__ import annotations

from typing import Any

import pytest

from everfresh.contracts.errors import SettingsError
from everfresh.contracts.settings import load_settings

NAMED = {"name": "home", "arms": ["control", "new"]}


@pytest.mark.parametrize(
    ("group", "message"),
    [
        ({"assigner": "dice"}, "experiments.assigner: .*'definitions', 'request' or 'openfeature'"),
        ({"assigner": "request"}, "assigner is request, and name is empty; set experiments.name"),
        ({"assigner": "request", "name": "home"}, "and arms is empty; set experiments.arms"),
        (NAMED, "name is set, and assigner is definitions, which has its own; remove"),
        ({"arms": ["a"]}, "arms is set, and assigner is definitions"),
        ({**NAMED, "assigner": "openfeature"}, "provider is for the assigner openfeature, and nee"),
        ({**NAMED, "assigner": "request", "provider": "a:b"}, "found assigner request with prov"),
        ({**NAMED, "assigner": "openfeature", "provider": "a.b"}, "provider is MODULE:FUNCTION"),
        ({"assigner": "request", "name": "a b", "arms": ["a"]}, "a name has 1 to 64 .*'a b'"),
        ({"assigner": "request", "name": "a", "arms": ["\n"]}, r"found '\\n'"),
        ({"tracks": ["new@fast"]}, "tracks names the arm 'new', which is none of experiments.arms"),
        ({**NAMED, "assigner": "request", "tracks": ["fast"]}, "each is ARM@TRACK"),
        ({**NAMED, "assigner": "request", "tracks": ["new@a/b"]}, "found 'a/b'"),
        ({**NAMED, "assigner": "request", "tracks": ["new@"]}, "found ''"),
        ({"deadline_ms": 0}, "experiments.deadline_ms"),
        ({"arm": ["a"]}, "did you mean"),
    ],
)
def test_settings_that_do_not_go_together_are_refused_in_one_line(
    group: dict[str, Any], message: str
) -> None:
    with pytest.raises(SettingsError, match=message) as refused:
        load_settings({"experiments": group})
    assert "\n" not in str(refused.value)


def test_what_each_assigner_needs_is_enough() -> None:
    assert load_settings().experiments.assigner == "definitions"
    asked = {**NAMED, "assigner": "openfeature", "provider": "shop.flags:provider"}
    for group in ({**NAMED, "assigner": "request"}, asked):
        made = load_settings({"experiments": group}).experiments
        assert (made.name, made.arms) == ("home", ("control", "new"))
