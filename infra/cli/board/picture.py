"""What the page shows, as one JSON value. Pure: what was seen comes in, and the time.

Times of moments are UTC ms and end in ``_ms``, durations are seconds and end in ``_s``. ``None`` is
what is not known.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from everfresh.contracts.report import ComponentStatus, WindowReport
from everfresh.infra.cli.board.seen import Seen
from everfresh.infra.cli.views.run_reports import what_happened
from everfresh.infra.cli.views.scores import CONTENDERS
from everfresh.infra.cli.views.versions.version_life import live_everywhere

ROWS, LIVES = 40, 64
"""Windows that are listed one by one, and those whose versions replicas remember; the curve has all
that were kept."""

STAGES = ("gather", "read", "score", "train", "publish", "live")
"""From an event's append to a version that every replica answers with: the window fills and is
closed, waits and is read, is scored, is trained, is published, and goes live."""

MEASURES = ("bits_live", "repeats")
"""Of what a window was like before it was learnt; `everfresh versions` has all."""

TRACK_FIGURES = ("version", "windows", "backlog", "hr10", "held", "alarms")

GATE = ("held", "let_pass", "floods", "rolled_back")
ALARMS = ("overtaken", "workers_lost", "foreign", "undeleted")


def picture(seen: Seen, now_ms: int) -> dict[str, Any]:
    """See the module."""
    replicas = seen.components("replica")
    windows = [_window(report, replicas) for report in list(seen.windows)[-LIVES:]]
    known = [row for row in windows if row["total_s"] is not None]
    return {
        "now_ms": now_ms,
        "error": seen.error,
        "stream": _stream(seen, now_ms),
        "trainer": _trainer(seen.components("trainer", now_ms)),
        "tracks": _tracks(seen, now_ms),
        "serving": _serving(seen, now_ms),
        "guardrails": _guardrails(seen, now_ms),
        "dead_letters": seen.dead_letters,
        "freshness": known[-1] if known else None,
        "windows": _newest_first(seen, windows),
        "held": [
            {"label": report.label, "version": report.version, "at_ms": report.published_ms}
            | {"events": report.events, "reason": report.held}
            for report in reversed(seen.windows)
            if report.held
        ][:ROWS],
        "curve": {
            name: [
                [_along(report), report.scores[name]["hr10"]]
                for report in seen.windows
                if "hr10" in report.scores.get(name, {})
            ]
            for name in CONTENDERS
        },
    }


def _along(report: WindowReport) -> float:
    """Where a window stands on the curve: those that history is cut into share a label."""
    return report.label + min(report.cut, 999) / 1000


def _newest_first(seen: Seen, windows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of all tracks; when a version of another track went live is not asked."""
    others = [_window(report, []) for report in seen.of_other_tracks]
    return sorted([*windows, *others], key=lambda row: -int(row["at_ms"]))[:ROWS]


def _tracks(seen: Seen, now_ms: int) -> list[dict[str, Any]]:
    """Lines of versions beside the default one; each is trained on the same windows."""
    replicas = seen.components("replica", now_ms)
    rows = []
    for status in seen.components("track", now_ms):
        name = status.component.removeprefix("track-")
        versions = [_served(replica, name).get("version") for replica in replicas]
        rows.append(
            {
                "track": name,
                "state": status.state,
                "live_on": versions.count(status.figures.get("version")),
                "replicas": len(replicas),
                "trouble": str(status.figures.get("failed") or ""),
                "curve": [
                    [_along(report), report.scores["live"]["hr10"]]
                    for report in seen.of_other_tracks
                    if report.track == name and "hr10" in report.scores.get("live", {})
                ],
                **{figure: status.figures.get(figure) for figure in TRACK_FIGURES},
            }
        )
    return rows


def _served(replica: ComponentStatus, track: str) -> dict[str, Any]:
    tracks = replica.figures.get("tracks")
    served = tracks.get(track) if isinstance(tracks, dict) else None
    return served if isinstance(served, dict) else {}


def _stream(seen: Seen, now_ms: int) -> dict[str, Any]:
    workers = seen.components("worker", now_ms)
    rejected: dict[str, int] = {}
    for status in workers:
        for name, value in status.figures.items():
            if name.startswith("rejected_"):
                reason = name.removeprefix("rejected_")
                rejected[reason] = rejected.get(reason, 0) + _whole(value)
    restoring = [str(status.figures["restoring"]) for status in workers if _says(status)]
    return {
        "workers": len(workers),
        "rejected": rejected,
        "restoring": ", ".join(restoring),
        "events_per_s": sum(float(status.figures.get("events_per_s") or 0) for status in workers),
        **{
            name: sum(_whole(status.figures.get(name)) for status in workers)
            for name in ("applied", "lag", "misplaced", "late", "duplicates", "outcomes")
        },
    }


def _says(status: ComponentStatus) -> bool:
    return bool(status.figures.get("restoring"))


def _trainer(trainers: list[ComponentStatus]) -> dict[str, Any] | None:
    if not trainers:
        return None
    figures = trainers[0].figures
    numbers = ("version", "windows", "events", "backlog", "backlog_s", "events_per_s", *GATE)
    return {
        "state": trainers[0].state,
        "stage": str(figures.get("stage", "")),
        "last_held": str(figures.get("last_held") or ""),
        "last_foreign": str(figures.get("last_foreign") or ""),
        **{name: figures.get(name) or 0 for name in (*numbers, *ALARMS)},
    }


def _serving(seen: Seen, now_ms: int) -> dict[str, Any]:
    pointer = seen.pointer
    replicas = [
        {
            "name": status.component,
            "state": status.state,
            "version": status.figures.get("version"),
            "epoch": status.figures.get("epoch"),
            "since_ms": status.figures.get("live_since_ms"),
            "requests": _whole(status.figures.get("requests")),
            "failed": _whole(status.figures.get("failed")),
            "requests_per_s": seen.requests_per_s(status.component),
            "reason": str(status.figures.get("reason") or ""),
            "current": pointer is not None and status.figures.get("version") == pointer.version,
        }
        for status in seen.components("replica", now_ms)
    ]
    return {
        "replicas": replicas,
        "requests_per_s": sum(replica["requests_per_s"] for replica in replicas),
        "version": None if pointer is None else pointer.version,
        "epoch": None if pointer is None else pointer.epoch,
        "left": 0 if pointer is None else pointer.left,
    }


def _guardrails(seen: Seen, now_ms: int) -> dict[str, str]:
    """Arms of experiments that were closed, and why guardrails cannot be looked at; both mostly
    empty."""

    def told(kind: str, figure: str) -> str:
        said = {str(each.figures.get(figure) or "") for each in seen.components(kind, now_ms)}
        return ", ".join(sorted(said - {""}))

    return {"closed": told("replica", "experiments_closed_arms"), "reason": told("guard", "reason")}


def _window(report: WindowReport, replicas: Iterable[ComponentStatus]) -> dict[str, Any]:
    """``stages`` has those that are known; ``total_s`` is their sum, once all of them are."""
    stages: dict[str, float] = {}
    if not report.held and report.seconds:
        live_ms = live_everywhere(report.version, report.published_ms, list(replicas))
        if report.appended:
            median = report.appended[len(report.appended) // 2]
            stages["gather"] = max(0.0, (report.closed_ms - median) / 1000)
        stages |= {name: float(value) for name, value in report.seconds.items() if name in STAGES}
        if live_ms is not None:
            stages["live"] = max(0.0, (live_ms - report.published_ms) / 1000)
    return {
        "track": report.track,
        "label": report.label,
        "version": report.version,
        "parent": report.scored_version,
        "events": report.events,
        "at_ms": report.published_ms,
        "held": report.held,
        "left": report.left,
        "what": what_happened(report),
        "measures": {name: report.measures.get(name) for name in MEASURES},
        "scores": {name: report.scores.get(name, {}).get("hr10") for name in CONTENDERS},
        "stages": stages,
        "total_s": sum(stages.values()) if len(stages) == len(STAGES) else None,
    }


def _whole(value: object) -> int:
    """A lag may be a text until it is known."""
    return int(value) if isinstance(value, (int, float)) else 0
