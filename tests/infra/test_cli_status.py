"""What ``everfresh status`` says of freshness and lag."""

from __future__ import annotations

from msgspec import structs

from everfresh.contracts.manifest import Pointer
from everfresh.contracts.report import ComponentStatus
from everfresh.infra.cli.commands.status import freshness_line
from everfresh.infra.cli.views.observed import Observed
from tests.infra.test_cli_figures import replica, window


def test_a_worker_that_was_killed_long_ago_is_behind_no_more() -> None:
    seen = Observed(1)
    for name, time, lag in (("killed", 0, 500), ("worker-1", 60_000, 2)):
        seen.status(ComponentStatus(name, "worker", time, "running", {"lag": lag}))
    assert seen.total("worker", "lag", 60_500) == 2


def test_before_the_first_version_freshness_names_no_version() -> None:
    assert freshness_line(Observed(1), None, 0) == (
        "freshness: known once the first version is trained and live everywhere"
    )


def trained_and_live(newest: int) -> Observed:
    seen = Observed(2)
    for version in range(1, newest + 1):
        seen.window(window(version, appended=[1000 * version] * 101))
        for name in ("a", "b"):
            seen.status(replica(name, 1000 * version + 900, version, 1000 * version + 800))
    return seen


def test_freshness_is_that_of_the_newest_window_once_its_version_is_live_everywhere() -> None:
    seen = trained_and_live(3)
    assert freshness_line(seen, Pointer(1, 3), 6000).startswith(
        "freshness of the newest window: p50 0.8"
    )
    seen.window(window(4, appended=[4000] * 101))
    assert freshness_line(seen, Pointer(1, 4), 6000) == (
        "freshness: known once version 4, which is trained, is live everywhere; now that is 3"
    )


def test_a_replica_that_was_killed_long_ago_holds_no_freshness_up() -> None:
    seen = Observed(1)
    seen.status(replica("killed", 0, 1, 0))
    seen.window(window(2, appended=[50_000] * 101))
    seen.status(replica("a", 60_000, 2, 51_000))
    fresh = "freshness of the newest window: p50 1.00 s"
    assert freshness_line(seen, Pointer(1, 2), 60_500).startswith(fresh)
    rolled_back = freshness_line(seen, Pointer(2, 1, left=2), 60_500)
    assert "live on 0 of 1 replicas" in rolled_back


def test_a_window_that_was_held_is_in_no_version_and_has_no_freshness() -> None:
    seen = trained_and_live(3)
    fresh = freshness_line(seen, Pointer(1, 3), 6000)
    late = structs.replace(window(3, appended=[9000] * 101), label=9, held="clock garbage")
    seen.window(late)
    assert freshness_line(seen, Pointer(1, 3), 6000) == fresh


def test_after_a_rollback_it_is_said_what_is_live_until_a_version_has_come_of_it() -> None:
    seen = trained_and_live(3)
    seen.status(replica("a", 5000, 1, 4900))
    line = (
        "freshness: version 1 is the current one by a rollback from 3, live on {} of 2 replicas; "
        "known again once the next version is trained and live everywhere"
    )
    assert freshness_line(seen, Pointer(2, 1, left=3), 6000) == line.format(1)
    seen.status(replica("b", 5000, 1, 4900))
    assert freshness_line(seen, Pointer(2, 1, left=3), 6000) == line.format(2)
    seen.window(window(4, appended=[5000] * 101))
    for name in ("a", "b"):
        seen.status(replica(name, 6000, 4, 5900))
    assert freshness_line(seen, Pointer(2, 4), 6000).startswith(
        "freshness of the newest window: p50 0.9"
    )
