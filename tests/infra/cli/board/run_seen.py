"""A run as a board has seen it: thirty windows, one held, a rollback, two replicas, one behind."""

from __future__ import annotations

import math

import msgspec

from everfresh.contracts.manifest import Pointer
from everfresh.contracts.report import ComponentStatus, WindowReport
from everfresh.infra.cli.board.seen import Seen

NOW_MS = 1_800_000_000_000
HOSTILE = '<img src=x onerror="document.title=1">&\u202e'
WINDOWS = 30
HELD = 12


def run_seen() -> Seen:
    """Records as a run writes them."""
    seen = Seen()
    versions: list[tuple[int, int, int]] = []
    version = 0
    for label in range(1, WINDOWS + 1):
        published = NOW_MS - (WINDOWS - label) * 2_000 - 1_500
        held = HOSTILE if label == HELD else ""
        parent = version or None
        version += not held
        seen.window(
            WindowReport(
                label=label,
                scored_version=parent,
                version=version,
                events=600 + label,
                users=90,
                items=400 + 2 * label,
                scores={
                    name: {"hr10": top * (1 - math.exp(-label / 8)), "ndcg10": top / 2}
                    for name, top in (("live", 0.31), ("frozen", 0.05), ("markov", 0.22))
                }
                if parent
                else {},
                appended=[published - 3_200 - 15 * (100 - i) for i in range(101)],
                closed_ms=published - 1_300,
                published_ms=published,
                seconds={}
                if held
                else {"read": 0.2, "score": 0.3, "train": 0.6 + 0.01 * label, "publish": 0.15},
                held=held,
                left=25 if label == 27 else 0,
            )
        )
        if not held:
            versions.append((version, 1, published + 220))
    for number, name in enumerate(("replica-ab12", "replica-cd34")):
        lived = versions if not number else versions[:-1]
        newest = lived[-1]
        for at in (4, 2, 0):
            figures = {
                "version": newest[0],
                "epoch": newest[1],
                "live_since_ms": newest[2],
                "joined_ms": NOW_MS - 600_000,
                "lived": [list(swap) for swap in lived],
                "requests": 9_000 - 150 * at,
                "failed": number,
                "reason": HOSTILE if number else "",
                "tracks": {"bold": {"version": 9}} if number else {},
                "experiments_closed_arms": "treatment of home-page",
            }
            seen.status(ComponentStatus(name, "replica", NOW_MS - 1000 * at, "serving", figures))
    guard = {"guarded": 1, "reason": f"home-page: {HOSTILE}"}
    seen.status(ComponentStatus("guard", "guard", NOW_MS - 300, "running", guard))
    worker = {"applied": 18_465, "lag": 12, "events_per_s": 301.4, "misplaced": 0, "late": 3}
    worker |= {"rejected": 7, "rejected_duplicate_id": 5, "rejected_unknown_type": 2}
    seen.status(ComponentStatus("worker-0", "worker", NOW_MS - 300, "running", worker))
    trainer = {"version": version, "windows": version, "backlog": 1, "backlog_s": 0.4, "held": 1}
    trainer |= {"stage": "train", "events": 17_000, "events_per_s": 900.0, "rolled_back": 1}
    seen.status(ComponentStatus("trainer", "trainer", NOW_MS - 200, "running", trainer))
    track = {"version": 9, "windows": 9, "backlog": 0, "hr10": 0.2, "held": 0, "alarms": 0}
    seen.status(ComponentStatus("track-bold", "track", NOW_MS - 200, "running", track))
    for report in list(seen.windows)[-8:]:
        scores = {"live": {"hr10": 0.2}}
        seen.window(msgspec.structs.replace(report, track="bold", version=9, scores=scores))
    seen.pointer = Pointer(1, version)
    seen.dead_letters = 7
    return seen
