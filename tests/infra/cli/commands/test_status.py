"""What ``everfresh status`` prints of freshness, lag, components and windows."""

from __future__ import annotations

import io

from msgspec import structs
from rich.console import RenderableType

from everfresh.contracts.manifest import Pointer
from everfresh.contracts.report import ComponentStatus
from everfresh.infra.cli.commands.status import _components, _windows, freshness_line, homes_line
from everfresh.infra.cli.terminal import Terminal
from everfresh.infra.cli.views.run_reports import RunReports
from everfresh.trainer.scoring import reporting as trainer
from tests.infra.cli.reports import replica, window


def test_a_worker_that_was_killed_long_ago_is_behind_no_more() -> None:
    reports = RunReports(1)
    for name, time, lag in (("killed", 0, 500), ("worker-1", 60_000, 2)):
        reports.status(ComponentStatus(name, "worker", time, "running", {"lag": lag}))
    assert reports.total("worker", "lag", 60_500) == 2


def test_before_the_first_version_freshness_names_no_version() -> None:
    assert freshness_line(RunReports(1), None, 0) == (
        "freshness: not known before the first version is live on every replica"
    )


def trained_and_live(newest: int) -> RunReports:
    reports = RunReports(2)
    for version in range(1, newest + 1):
        reports.window(window(version, appended=[1000 * version] * 101))
        for name in ("a", "b"):
            reports.status(replica(name, 1000 * version + 900, version, 1000 * version + 800))
    return reports


def test_freshness_is_that_of_the_newest_window_once_its_version_is_live_everywhere() -> None:
    reports = trained_and_live(3)
    assert freshness_line(reports, Pointer(1, 3), 6000).startswith(
        "freshness of the newest window: p50 0.8"
    )
    reports.window(window(4, appended=[4000] * 101))
    assert freshness_line(reports, Pointer(1, 4), 6000) == (
        "freshness: not known before version 4, the newest that was trained, is live on every "
        "replica; now version 3 is"
    )


def test_a_replica_that_was_killed_long_ago_holds_no_freshness_up() -> None:
    reports = RunReports(1)
    reports.status(replica("killed", 0, 1, 0))
    reports.window(window(2, appended=[50_000] * 101))
    reports.status(replica("a", 60_000, 2, 51_000))
    fresh = "freshness of the newest window: p50 1.00 s"
    assert freshness_line(reports, Pointer(1, 2), 60_500).startswith(fresh)
    rolled_back = freshness_line(reports, Pointer(2, 1, left=2), 60_500)
    assert "live on 0 of 1 replicas" in rolled_back


def test_a_window_that_was_held_is_in_no_version_and_has_no_freshness() -> None:
    reports = trained_and_live(3)
    fresh = freshness_line(reports, Pointer(1, 3), 6000)
    late = structs.replace(window(3, appended=[9000] * 101), label=9, held="clock garbage")
    reports.window(late)
    assert freshness_line(reports, Pointer(1, 3), 6000) == fresh


def test_after_a_rollback_it_is_said_what_is_live_until_a_version_has_come_of_it() -> None:
    reports = trained_and_live(3)
    reports.status(replica("a", 5000, 1, 4900))
    line = (
        "freshness: not known after the rollback from version 3 to 1, which is live on {} of 2 "
        "replicas; it is measured again with the next version"
    )
    assert freshness_line(reports, Pointer(2, 1, left=3), 6000) == line.format(1)
    reports.status(replica("b", 5000, 1, 4900))
    assert freshness_line(reports, Pointer(2, 1, left=3), 6000) == line.format(2)
    reports.window(window(4, appended=[5000] * 101))
    for name in ("a", "b"):
        reports.status(replica(name, 6000, 4, 5900))
    assert freshness_line(reports, Pointer(2, 4), 6000).startswith(
        "freshness of the newest window: p50 0.9"
    )


def printed(table: RenderableType) -> str:
    console = Terminal(width=300, record=True, file=io.StringIO())
    console.print(table)
    return console.export_text()


def test_status_shows_what_a_trainer_held_and_rolled_back_and_how_far_behind_it_is() -> None:
    figures = trainer.Figures(
        windows=9,
        version=7,
        backlog=4,
        backlog_s=12.34,
        merged=3,
        sampled=2,
        events_per_s=4321.9,
        loss=5.4321,
        held=1,
        rolled_back=1,
        last_held="window 8: [x] of one user",
    )
    reports = RunReports(1)
    reports.status(trainer.status(figures, "running", 1000))
    printed_text = printed(_components(reports, 1000))
    behind = "version 7  windows 9  backlog 4  backlog_s 12.3  merged 3  sampled 2"
    assert behind + "  events_per_s 4,322  loss 5.43  held 1  rolled_back 1" in printed_text
    assert "last_held window 8: [x] of one user" in printed_text
    for name in ("let_pass", "overtaken", "workers_lost", "undeleted"):
        assert name not in printed_text, "what is zero is not shown"


def test_status_shows_why_a_replica_stays_at_its_version() -> None:
    reports = RunReports(1)
    figures = {"version": 3, "epoch": 2, "load_failures": 5, "reason": "CorruptVersion: [4] nan"}
    reports.status(ComponentStatus("replica-a", "replica", 1000, "serving", figures))
    printed_text = printed(_components(reports, 1000))
    assert "epoch 2  load_failures 5  reason CorruptVersion: [4] nan" in printed_text
    reports.status(ComponentStatus("replica-a", "replica", 1000, "serving", {"version": 3}))
    assert "load_failures" not in printed(_components(reports, 1000))


def test_status_says_what_became_of_each_window() -> None:
    kept = window(5)
    changed = [
        kept,
        structs.replace(kept, held="gain [-0.2] is worse"),
        structs.replace(kept, left=6),
        structs.replace(kept, merged=[1, 2, 3], sampled=0.25),
    ]
    lines = [line for line in printed(_windows(changed)).splitlines() if "100" in line]
    ends = ("trained", "held: gain [-0.2] is worse", "first after the rollback from version 6")
    for line, end in zip(lines, (*ends, "3 windows as one, 25% of its examples"), strict=True):
        assert line.rstrip().endswith(end)
    assert " -  held" in lines[1], "what was held was not published"


def test_status_shows_what_keeps_arms_from_replicas() -> None:
    reports = trained_and_live(3)
    reason = {"experiments_left_out": 2, "experiments_reason": "the topic is gone"}
    status = replica("a", 6000, 3, 4000)
    reports.status(structs.replace(status, figures={**status.figures, "experiments": 1, **reason}))
    said = printed(_components(reports, 6000))
    assert "experiments 1  experiments_left_out 2  experiments_reason the topic is gone" in said


def worker(name: str, partitions: int, place: str, time: int = 6000) -> ComponentStatus:
    return ComponentStatus(name, "worker", time, "running", {"partitions": partitions}, place)


def test_status_says_that_workers_of_two_homes_share_the_partitions() -> None:
    reports = RunReports(1)
    reports.status(worker("worker-0-a", 3, "host-a:/srv#1"))
    reports.status(worker("worker-1-a", 2, "host-a:/srv#1"))
    reports.status(worker("worker-0-c", 4, "", time=6000))  # of an earlier release: not known where
    reports.status(worker("worker-0-d", 4, "host-d:/srv#3", time=-9000))  # gone
    assert homes_line(reports, 6000, 6) == ""
    assert "worker-1-a  running  0.0 s ago    partitions 2" in printed(_components(reports, 6000))
    reports.status(worker("worker-0-b", 1, "host-b:/home#2"))
    said = homes_line(reports, 6000, 6)
    assert "homes share the partitions: host-a:/srv has 5, host-b:/home has 1. Replicas" in said
    reports.status(structs.replace(worker("worker-0-b", 0, "host-b:/home#2"), state="stopped"))
    assert homes_line(reports, 6000, 6) == ""


def test_a_home_that_has_no_partition_shares_none() -> None:
    reports = RunReports(1)
    reports.status(worker("worker-0-a", 6, "host-a:/srv#1"))
    reports.status(worker("worker-0-b", 0, "host-b:/home#2"))
    assert homes_line(reports, 6000, 6) == ""


def test_partitions_that_a_lost_machine_and_its_heir_both_name_are_not_shared() -> None:
    reports = RunReports(1)
    reports.status(worker("worker-0-a", 6, "host-a:/srv#1", time=1000))  # lost 5 s ago
    reports.status(worker("worker-0-b", 6, "host-b:/home#2"))
    assert homes_line(reports, 6000, 6) == ""
    reports.status(worker("worker-0-a", 3, "host-a:/srv#1"))
    reports.status(worker("worker-0-b", 3, "host-b:/home#2"))
    assert "workers of 2 homes share the partitions" in homes_line(reports, 6000, 6)
