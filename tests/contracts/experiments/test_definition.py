"""What is a definition, and what is refused, in one line that says what to do."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from everfresh.contracts.errors import ExperimentRefused, ForeignRecord
from everfresh.contracts.experiments.definition import (
    Arm,
    Namespace,
    decode_definition,
    encode_definition,
    require_sound,
)
from tests.contracts.experiments.definitions import define

TEAMS = [Arm("a", 0.5), Arm("b", 0.5, "fast")]
WRONG: list[tuple[dict[str, Any], str]] = [
    ({"format": 3}, "format 1 or 2 was expected, found format 3"),
    ({"name": ""}, "the name of an experiment has 1 to 64"),
    ({"name": "a b"}, "found 'a b'"),
    ({"name": "x" * 65}, "1 to 64"),
    ({"name": "\x1b[2J"}, r"found '\\x1b\[2J'"),
    ({"hash_version": 1}, "hash version 2 was expected, found 1"),
    ({"hash_version": 3}, "hash version 2 was expected, found 3"),
    ({"namespace": Namespace("n", 0.5, 0.5)}, "0.5 to 0.5, which holds nobody"),
    ({"namespace": Namespace("n/a", 0.0, 0.5)}, "the name of a namespace"),
    ({"arms": []}, "2 to 20 arms were expected, found 0"),
    ({"arms": [Arm("one", 1.0)]}, "2 to 20 arms were expected, found 1"),
    ({"arms": [Arm(f"a{n}", 1 / 21) for n in range(21)]}, "found 21"),
    ({"arms": [], "holdout": True}, "1 to 20 arms were expected, found 0"),
    ({"arms": [Arm("a", 0.5), Arm("a", 0.5)]}, "arm a is named twice"),
    ({"arms": [Arm("a", 0.5), Arm("b", 0.4)]}, "sum to 0.9; they are shares, so they must sum"),
    ({"arms": [Arm("a", 1.0), Arm("b", 1.0)]}, "sum to 2"),
    ({"arms": [Arm("a", 0.5), Arm("b", 0.5, "a/b")]}, "the name of the track of arm b"),
    ({"arms": [Arm("a", 0.5), Arm("\n", 0.5)]}, "the name of an arm"),
    ({"interleaved": True}, "both arms of the interleaved experiment name the track default"),
    ({"interleaved": True, "arms": [Arm("a", 0.5), Arm("b", 0.5, "a"), Arm("c", 0.0)]}, "found 3"),
    ({"interleaved": True, "arms": [Arm("a", 0.4), Arm("b", 0.6, "fast")]}, "leave them out"),
    ({"interleaved": True, "arms": [Arm("a", 0.5), Arm("interleaved", 0.5, "f")]}, "another name"),
    ({"interleaved": True, "holdout": True, "arms": TEAMS}, "cannot go with a holdout"),
    ({"interleaved": True, "diverted": True, "arms": TEAMS}, "cannot go with diverted data"),
]


@pytest.mark.parametrize(("changes", "message"), WRONG)
def test_a_definition_that_is_wrong_in_itself_is_refused_and_no_reader_takes_it(
    changes: dict[str, Any], message: str
) -> None:
    definition = define(**{"name": "green", **changes})
    with pytest.raises(ExperimentRefused, match=message) as refused:
        require_sound(definition)
    assert "\n" not in str(refused.value)
    with pytest.raises(ForeignRecord, match=message):
        decode_definition(encode_definition(definition))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("coverage", 1.5),
        ("coverage", -0.1),
        ("coverage", "all"),
        ("arms", [{"name": "a", "weight": 1.2}, {"name": "b", "weight": -0.2}]),
        ("namespace", {"name": "n", "begin": 0.0, "end": 2.0}),
        ("since", -1),
        ("seed", "x" * 201),
        ("seed", 5),
        ("started", None),
    ],
)
def test_a_value_outside_its_bounds_is_foreign(field: str, value: object) -> None:
    tree = {**msgspec.to_builtins(define()), field: value}
    with pytest.raises(ForeignRecord):
        decode_definition(msgspec.json.encode(tree))


def test_a_definition_round_trips_and_fields_of_later_releases_are_ignored() -> None:
    definition = define(namespace=Namespace("n", 0.25, 0.5), coverage=0.1, since=4, stopped=9)
    assert decode_definition(encode_definition(definition)) == definition
    tree = {**msgspec.to_builtins(definition), "metric": "clicks"}
    assert decode_definition(msgspec.json.encode(tree)) == definition


def test_an_earlier_release_leaves_an_interleaved_experiment_out_instead_of_splitting_users() -> (
    None
):
    old = msgspec.json.decode(encode_definition(define()))
    new = msgspec.json.decode(encode_definition(define(interleaved=True, arms=TEAMS)))
    assert (old["format"], new["format"]) == (1, 2)
    assert decode_definition(encode_definition(define(interleaved=True, arms=TEAMS))).interleaved
