"""A replica with several tracks: whose version answers, and what becomes of one that is missing."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import msgspec
import pytest

from everfresh.contracts.experiments.assignment import Assignments
from everfresh.contracts.experiments.definition import DEFAULT, Arm
from everfresh.contracts.experiments.first_arm import FirstArm
from everfresh.contracts.experiments.track import Track
from everfresh.contracts.manifest import Pointer
from everfresh.contracts.sequence import Interaction
from everfresh.model.recommender import Recommender
from everfresh.serving.recommend import Answer, RecommendRequest, ScoreRequest
from tests.contracts.experiments.definitions import define
from tests.serving.replica_in_memory import Bench, publish, recommender

USERS = range(1, 21)
HISTORY = [3, 5, 7]


def request(user: int) -> RecommendRequest:
    return RecommendRequest(f"r-{user}", user, 5, True)


def wait_until(true: Callable[[], bool]) -> None:
    until = time.monotonic() + 240  # for what never comes
    while not true():
        assert time.monotonic() < until
        time.sleep(0.005)


def declare(bench: Bench, name: str = "fast", **changes: object) -> Track:
    track = Track(**{"name": name, "started": 1, "changed": 1, **changes})  # type: ignore[arg-type]
    bench.tracks.declare(track)
    return track


def publish_other(bench: Bench, name: str, version: int, seed: int) -> Recommender:
    """A version of another track, whose number may be one of the default track's too."""
    made = recommender(seed)
    manifest = msgspec.structs.replace(bench.store.manifest(1), version=version, parent=None)
    store = bench.tracks.store(name)
    store.write(manifest, made.save())
    pointer = store.pointer()
    epoch = 1 if pointer is None else pointer.epoch
    store.advance(Pointer(epoch, version))
    return made


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    arms = [Arm("control", 0.5), Arm("treatment", 0.5, "fast")]
    made.assigner.assignments = Assignments([(4, define(arms=arms))])
    for user in USERS:
        made.remember(user, HISTORY)
    yield made
    made.replica.stop()


def ask(bench: Bench) -> dict[str, list[Answer]]:
    """Answers for all users, by arm."""
    by_arm: dict[str, list[Answer]] = {}
    for user in USERS:
        answer = bench.replica.answer(request(user))
        assert answer is not None
        by_arm.setdefault(answer.arm, []).append(answer)
    assert set(by_arm) == {"control", "treatment"}
    return by_arm


def expected(made: Recommender) -> list[object]:
    history = [Interaction(item, "view", at) for at, item in enumerate(HISTORY)]
    return list(made.recommend(history, 5, HISTORY)[0])


def test_law_7_each_arm_is_answered_by_the_version_of_its_own_track(bench: Bench) -> None:
    default = publish(bench.store, 1)
    declare(bench)
    fast = publish_other(bench, "fast", 1, seed=9)  # of the same number, and another model
    bench.replica.start()
    assert expected(default) != expected(fast)
    for _ in range(2):  # the second time from the caches
        by_arm = ask(bench)
        for arm, made, track in (("control", default, DEFAULT), ("treatment", fast, "fast")):
            assert {tuple(answer.items) for answer in by_arm[arm]} == {tuple(expected(made))}
            assert {(answer.track, answer.version) for answer in by_arm[arm]} == {(track, 1)}
    shown = {(each.arm, each.track, tuple(each.items)) for each in bench.exposures.exposures}
    # The other way round: what one track's version computed of a history serves the other never.
    arms = [Arm("control", 0.5, "fast"), Arm("treatment", 0.5)]
    bench.assigner.assignments = Assignments([(5, define(arms=arms))])
    turned = ask(bench)
    assert {tuple(answer.items) for answer in turned["control"]} == {tuple(expected(fast))}
    assert {tuple(answer.items) for answer in turned["treatment"]} == {tuple(expected(default))}
    assert shown == {
        ("control", DEFAULT, tuple(expected(default))),
        ("treatment", "fast", tuple(expected(fast))),
    }
    treated = turned["control"][0].user_id
    scored = bench.replica.score(ScoreRequest("s", treated, [1, 2]))
    assert scored is not None
    assert scored.track == "fast"


def test_each_track_swaps_by_itself(bench: Bench) -> None:
    publish(bench.store, 1)
    declare(bench)
    publish_other(bench, "fast", 1, seed=9)
    bench.replica.start()
    newer = publish_other(bench, "fast", 2, seed=10)
    wait_until(lambda: {answer.version for answer in ask(bench)["treatment"]} == {2})
    by_arm = ask(bench)
    assert {answer.version for answer in by_arm["control"]} == {1}
    assert {tuple(answer.items) for answer in by_arm["treatment"]} == {tuple(expected(newer))}
    publish(bench.store, 2)
    wait_until(lambda: {answer.version for answer in ask(bench)["control"]} == {2})


def test_an_arm_whose_track_is_unknown_is_answered_by_the_default_one_and_says_so(
    bench: Bench,
) -> None:
    default = publish(bench.store, 1)
    bench.replica.start()
    by_arm = ask(bench)
    assert {answer.track for answer in by_arm["treatment"]} == {DEFAULT}
    assert {tuple(answer.items) for answer in by_arm["treatment"]} == {tuple(expected(default))}
    treated = [each for each in bench.exposures.exposures if each.arm == "treatment"]
    assert {(each.experiment, each.track) for each in treated} == {("green", DEFAULT)}
    assert bench.replica.status().figures["without_track"] == len(treated)


def test_a_track_without_a_version_yet_is_waited_for_by_nobody(bench: Bench) -> None:
    publish(bench.store, 1)
    declare(bench)
    bench.replica.start()
    assert bench.replica.may_join()
    assert {answer.track for answer in ask(bench)["treatment"]} == {DEFAULT}
    publish_other(bench, "fast", 1, seed=9)
    wait_until(lambda: {answer.track for answer in ask(bench)["treatment"]} == {"fast"})


def test_a_track_that_dies_leaves_its_arm_to_the_default_one(bench: Bench) -> None:
    publish(bench.store, 1)
    track = declare(bench)
    publish_other(bench, "fast", 1, seed=9)
    bench.replica.start()
    assert {answer.track for answer in ask(bench)["treatment"]} == {"fast"}
    bench.tracks.declare(msgspec.structs.replace(track, state="ended"))
    wait_until(lambda: {answer.track for answer in ask(bench)["treatment"]} == {DEFAULT})
    assert bench.replica.status().figures["tracks"] == {}
    bench.tracks.declare(msgspec.structs.replace(track, state="frozen"))
    wait_until(lambda: {answer.track for answer in ask(bench)["treatment"]} == {"fast"})


def test_who_was_shown_an_arm_keeps_it_where_its_track_has_died(bench: Bench) -> None:
    arms = [Arm("control", 1.0), Arm("treatment", 0.0, "fast")]
    moved = define(arms=arms, sticky=True, moved=True, coverage=0.0)
    shown = {"green": FirstArm("green", "treatment", 4, 0.5)}
    bench.assigner.assignments = Assignments([(7, moved)], lambda user: shown)
    publish(bench.store, 1)
    track = declare(bench)
    publish_other(bench, "fast", 1, seed=9)
    bench.replica.start()

    def told() -> set[tuple[str, str, bool, int | None]]:
        answers = filter(None, map(bench.replica.answer, map(request, USERS)))
        return {(one.track, one.arm, one.sticky, one.definition_version) for one in answers}

    assert told() == {("fast", "treatment", True, 4)}
    bench.tracks.declare(msgspec.structs.replace(track, state="ended"))
    wait_until(lambda: "fast" not in {track for track, *_ in told()})
    assert told() == {(DEFAULT, "treatment", True, 4)}


def test_a_track_that_cannot_be_loaded_touches_no_other_and_keeps_nobody_out(bench: Bench) -> None:
    publish(bench.store, 1)
    declare(bench)
    publish_other(bench, "fast", 1, seed=9)
    bench.tracks.store("fast").damage(1, "model.safetensors", b"half")
    bench.replica.start()
    assert bench.replica.may_join()
    assert bench.replica.complaint() is None
    assert {answer.track for answer in ask(bench)["treatment"]} == {DEFAULT}
    said = bench.replica.status().figures["tracks"]["fast"]
    assert said["version"] is None
    assert said["load_failures"] >= 1
    assert "model.safetensors" in said["reason"]


def test_tracks_that_cannot_be_read_leave_those_that_are_known(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(bench.store, 1)
    declare(bench)
    publish_other(bench, "fast", 1, seed=9)
    bench.replica.start()
    looked = threading.Event()

    def broken() -> dict[str, Track]:
        looked.set()
        raise OSError("no such bucket")

    monkeypatch.setattr(bench.tracks, "declared", broken)
    assert looked.wait(240)
    wait_until(lambda: bool(bench.replica.status().figures["tracks_reason"]))
    assert {answer.track for answer in ask(bench)["treatment"]} == {"fast"}


def test_a_request_keeps_the_track_it_began_with(bench: Bench) -> None:
    publish(bench.store, 1)
    declare(bench)
    fast = publish_other(bench, "fast", 1, seed=9)
    bench.replica.start()
    treated = ask(bench)["treatment"][0].user_id
    bench.on_read = lambda: bench.tracks.remove("fast")
    answer = bench.replica.answer(request(int(treated)))
    assert answer is not None
    assert (answer.track, list(answer.items)) == ("fast", expected(fast))


def test_what_a_track_takes_of_memory_is_in_the_status(bench: Bench) -> None:
    publish(bench.store, 1)
    declare(bench)
    publish_other(bench, "fast", 1, seed=9)
    bench.replica.start()
    treated = len(ask(bench)["treatment"])
    said = bench.replica.status().figures["tracks"]["fast"]
    assert (said["version"], said["cache_users"]) == (1, treated)
    assert said["version_bytes"] > 1_000
    assert said["cache_bytes"] > 100
