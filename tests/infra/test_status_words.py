"""What ``everfresh status`` says of the trainer, of replicas and of windows."""

from __future__ import annotations

import io

from msgspec import structs
from rich.console import Console
from rich.table import Table

from everfresh.contracts.report import ComponentStatus
from everfresh.infra.cli.commands.status import _components, _windows
from everfresh.infra.cli.views.observed import Observed
from everfresh.trainer.scoring import reporting as trainer
from tests.infra.test_cli_figures import window


def printed(table: Table) -> str:
    console = Console(width=300, record=True, file=io.StringIO(), highlight=False)
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
    seen = Observed(1)
    seen.status(trainer.status(figures, "running", 1000))
    said = printed(_components(seen, 1000))
    behind = "version 7  windows 9  backlog 4  backlog_s 12.3  merged 3  sampled 2"
    assert behind + "  events_per_s 4,322  loss 5.43  held 1  rolled_back 1" in said
    assert "last_held window 8: [x] of one user" in said
    for name in ("let_pass", "overtaken", "workers_lost", "undeleted"):
        assert name not in said, "what is zero is not shown"


def test_status_shows_why_a_replica_stays_at_its_version() -> None:
    seen = Observed(1)
    figures = {"version": 3, "epoch": 2, "load_failures": 5, "reason": "CorruptVersion: [4] nan"}
    seen.status(ComponentStatus("replica-a", "replica", 1000, "serving", figures))
    said = printed(_components(seen, 1000))
    assert "epoch 2  load_failures 5  reason CorruptVersion: [4] nan" in said
    seen.status(ComponentStatus("replica-a", "replica", 1000, "serving", {"version": 3}))
    assert "load_failures" not in printed(_components(seen, 1000))


def test_status_says_what_became_of_each_window() -> None:
    kept = window(5)
    changed = [
        kept,
        structs.replace(kept, held="gain [-0.2] is worse"),
        structs.replace(kept, left=6),
        structs.replace(kept, merged=[1, 2, 3], sampled=0.25),
    ]
    lines = [line for line in printed(_windows(changed)).splitlines() if "100" in line]
    ends = ("usual", "held: gain [-0.2] is worse", "version 6 left out by a rollback")
    for line, end in zip(lines, (*ends, "3 windows merged, 25% sampled"), strict=True):
        assert line.rstrip(" │").endswith(end)
    assert " - │ held" in lines[1], "what was held was not published"
