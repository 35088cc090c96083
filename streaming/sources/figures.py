"""What a bridge has done since it started: for its status, and as metrics for Prometheus."""

from __future__ import annotations

from collections import Counter
from typing import Any

from everfresh.adapters.observe.metrics import Metrics
from everfresh.contracts.report import ComponentStatus

KIND = "bridge"
RUNNING, WAITING, STOPPED = "running", "waiting", "stopped"


class BridgeFigures:
    """``read`` records of the source are settled: ``events`` are written, ``rejected`` are dead
    letters (by reason in ``rejected_<reason>``), ``filtered`` are left out by ``where``,
    ``tombstones`` have no value. Only what was committed counts. ``lag`` is how many records of its
    partitions are not settled yet, ``gap`` how many had gone before they were read, as far as that
    is known; ``aborted`` counts transactions that were done again."""

    def __init__(self, component: str, source: str, now_ms: int) -> None:
        self._component = component
        self._source = source
        self._counts: Counter[str] = Counter()
        self._rejected: Counter[str] = Counter()
        self._before = (now_ms, 0)
        self.lag = float("nan")
        self.topic_id = ""
        self.positions: dict[int, int] = {}
        """The next offset of each partition that is owned. They are reported for the case that
        Kafka forgets them."""
        self.reason = ""
        """What it waits for; empty while it works."""
        self.door = Metrics(KIND)
        count = self.door.counter
        self._metrics = {
            "read": count("read_records", "Records of the source that are settled."),
            "events": count("events", "Records of the source that were written as events."),
            "filtered": count("filtered_records", "Records that the source's filter leaves out."),
            "tombstones": count("tombstones", "Records without a value."),
            "gap": count("gap_records", "Records that had gone before they were read."),
            "aborted": count("aborted_transactions", "Transactions that were done again."),
        }
        self._dead = count(
            "dead_letters", "Records that could not become events, by reason.", ["reason"]
        )
        self.door.reading(
            "lag_records",
            "Records of the owned partitions that are not settled yet; NaN until it is known.",
            lambda: self.lag,
        )
        self.door.reading(
            "waiting",
            "1 while it waits for Kafka, the schema registry or a person, else 0.",
            lambda: float(bool(self.reason)),
        )

    def add(self, counts: Counter[str], rejected: Counter[str]) -> None:
        """Count what a transaction has settled."""
        self._counts += counts
        self._rejected += rejected
        for name, number in counts.items():
            self._metrics[name].inc(number)
        for reason, number in rejected.items():
            self._dead.labels(reason).inc(number)

    def status(self, now_ms: int, state: str, **more: Any) -> ComponentStatus:
        """The status now; ``events_per_s`` is the rate since the last one."""
        elapsed_ms = max(1, now_ms - self._before[0])
        events = self._counts["events"]
        rate = (events - self._before[1]) * 1000 / elapsed_ms
        self._before = (now_ms, events)
        figures: dict[str, Any] = {
            **{name: self._counts[name] for name in self._metrics},
            "rejected": self._rejected.total(),
            **{f"rejected_{reason}": number for reason, number in sorted(self._rejected.items())},
            "events_per_s": round(rate, 1),
            "partitions": len(self.positions),
            "source": self._source,
            "topic_id": self.topic_id,
            "positions": {str(number): offset for number, offset in self.positions.items()},
            **({} if self.lag != self.lag else {"lag": int(self.lag)}),
            **({"reason": self.reason} if self.reason else {}),
            **more,
        }
        return ComponentStatus(self._component, KIND, now_ms, state, figures)
