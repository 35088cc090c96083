"""``everfresh state`` over a state that a worker left; beside a running one in ``test_up``."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from rocksdict import Options, Rdict

from everfresh.contracts.errors import RunError
from everfresh.contracts.settings import Settings
from everfresh.contracts.topics import EVENTS, topic_name
from everfresh.infra.cli.commands import state as module
from everfresh.infra.cli.commands.state import run_state
from tests.conformance.test_history_reader import meta_pair, user_pairs


@pytest.fixture
def left(make_settings: Callable[..., Settings]) -> Settings:
    """Partition 1, folded up to offset 40, with a user of two events."""
    settings = make_settings()
    topic = topic_name(settings.kafka.topic_prefix, EVENTS)
    path = settings.state_dir / f"{topic}-1"
    path.parent.mkdir(parents=True)
    database = Rdict(str(path), Options(raw_mode=True))
    for key, value in {**meta_pair(1, 40), **user_pairs(7, [11, 12], 31)}.items():
        database[key] = value
    database.close()
    return settings


def test_a_stopped_run_is_read_and_said_to_be_stopped(
    left: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    run_state(left, "7", 0, as_json=False)
    output = " ".join(capsys.readouterr().out.split())
    assert "user 7: 9 events accepted, the newest 2 shown" in output
    assert "at offset 31 of partition 1" in output
    assert "this is the state that the worker left" in output
    assert "all events of partition 1 before offset 40" in output


def test_as_json_it_is_one_object_with_the_newest_events(
    left: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    run_state(left, "7", 1, as_json=True)
    printed = json.loads(capsys.readouterr().out)
    assert [event["item"] for event in printed["history"]] == [12]
    assert set(printed["history"][0]) == {"item", "action", "time", "value"}
    assert (printed["user"], printed["accepted"], printed["partition"]) == (7, 9, 1)
    assert (printed["offset"], printed["applied"], printed["end"], printed["lag"]) == (
        31,
        40,
        None,
        None,
    )


@pytest.mark.parametrize(
    ("end", "words"),
    [
        (40, "reaches the log's end, offset 40: no event is missing"),
        (45, "reaches offset 40 of 45: at most 5 records are still to be applied"),
    ],
)
def test_beside_a_broker_it_says_whether_anything_is_newer(
    left: Settings,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    end: int,
    words: str,
) -> None:
    monkeypatch.setattr(module, "end_offsets", lambda *_: {0: 0, 1: end})
    kafka = left.kafka.model_copy(update={"bootstrap_servers": "127.0.0.1:1"})
    run_state(left.model_copy(update={"kafka": kafka}), "7", 20, as_json=False)
    assert words in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("user", "words"),
    [
        ("8", r"no accepted events of user 8 are in the 1 partitions.*try '\"8\"' for text"),
        ('"7"', "no accepted events of user '7'.*try 42 without quotes for a number"),
    ],
)
def test_an_unknown_user_is_said_plainly(left: Settings, user: str, words: str) -> None:
    with pytest.raises(RunError, match=words):
        run_state(left, user, 20, as_json=False)


def test_without_any_state_it_says_so(make_settings: Callable[..., Settings]) -> None:
    with pytest.raises(RunError, match="there is no state of"):
        run_state(make_settings(), "7", 20, as_json=True)
