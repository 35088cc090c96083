"""When a version was live everywhere, from what replicas go on saying."""

from __future__ import annotations

from typing import Any

from msgspec import structs

from everfresh.contracts.report import ComponentStatus, WindowReport
from everfresh.infra.cli.views.versions.version_life import live_everywhere, lives

REPORT = WindowReport(
    label=4,
    scored_version=1,
    version=2,
    events=2,
    users=1,
    items=2,
    scores={},
    appended=[1_000, 2_000, 9_000],
    closed_ms=9_500,
    published_ms=10_000,
    seconds={},
)


def replica(
    name: str, *lived: tuple[int, int, int], joined: int = 0, time: int = 90_000, **more: Any
) -> ComponentStatus:
    figures = {"joined_ms": joined, "lived": [list(swap) for swap in lived]}
    return structs.replace(ComponentStatus(name, "replica", time, "serving", figures), **more)


EARLY = replica("a", (1, 0, 500), (2, 0, 10_100), (3, 0, 12_000))


def test_a_version_is_live_everywhere_since_the_last_replica_took_it_over() -> None:
    late = replica("b", (1, 0, 500), (2, 0, 10_400))
    assert live_everywhere(2, 10_000, [EARLY, late]) == 10_400
    assert live_everywhere(3, 11_000, [EARLY, late]) is None, "b has not got there yet"
    life = lives([REPORT], [EARLY, late])[2]
    assert life == {
        "closed_ms": 9_500,
        "published_ms": 10_000,
        "live_everywhere_ms": 10_400,
        "age_published_s": 8.0,
        "live_after_s": 0.4,
    }


def test_one_that_skipped_a_version_had_it_from_the_next_one_on() -> None:
    skipped = replica("b", (1, 0, 500), (3, 0, 12_500))
    assert live_everywhere(2, 10_000, [EARLY, skipped]) == 12_500


def test_one_that_came_later_or_ended_before_holds_nothing_up() -> None:
    later = replica("b", (2, 0, 70_000), joined=60_000)
    killed = replica("c", (1, 0, 500), time=10_050)
    stopped = replica("d", (1, 0, 500), state="stopped")
    assert live_everywhere(2, 10_000, [EARLY, later, killed, stopped]) == 10_100
    for moment in (10_050, 90_000):
        others = [replica("a", (1, 0, 500), (2, 0, 10_010), time=moment)]
        loading = replica("e", (1, 0, 500), time=moment)
        assert live_everywhere(2, 10_000, [*others, loading]) is None, "it is not there yet"
    assert live_everywhere(2, 10_000, [later]) is None


def test_nothing_is_told_across_a_rollback_or_of_versions_before_those_that_are_remembered() -> (
    None
):
    turned = replica("b", (1, 0, 500), (4, 1, 30_000))
    assert live_everywhere(2, 10_000, [EARLY, turned]) is None
    forgotten = replica("b", (3, 0, 12_000), (4, 0, 13_000))
    assert live_everywhere(2, 10_000, [EARLY, forgotten]) is None
    back = replica("b", (2, 0, 10_200), (3, 0, 12_000), (2, 1, 20_000))
    assert live_everywhere(2, 10_000, [EARLY, back]) == 10_200


def test_of_a_version_the_first_report_counts_and_of_a_held_window_none() -> None:
    again = structs.replace(REPORT, closed_ms=1, published_ms=1)
    held = structs.replace(REPORT, version=1, held="worse")
    assert lives([held, REPORT, again], []) == lives([REPORT], [])
    assert lives([REPORT], [])[2]["live_after_s"] is None


def test_replicas_of_a_release_that_did_not_say_since_when_are_not_asked() -> None:
    silent = ComponentStatus("b", "replica", 90_000, "serving", {"version": 2})
    assert live_everywhere(2, 10_000, [EARLY, silent]) == 10_100
