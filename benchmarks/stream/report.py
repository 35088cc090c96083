"""What the rounds of `benchmarks.stream_state` come to: table, picture, figures."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import msgspec

from benchmarks._harness import median
from benchmarks.stream.freshness import Freshness
from benchmarks.stream.measure import Run
from benchmarks.stream.systems import OURS, PEER_MODULES

TWO = "everfresh, two workers"
LABELS = {
    OURS: "everfresh",
    TWO: "everfresh, two workers",
    "quix": "Quix Streams",
    "faust_table": "Faust table",
    "fetch": "bare fetch (aiokafka)",
}
COLUMNS = (
    "system",
    "events/s",
    "CPU s per million",
    "events per CPU s, to ours",
    "peak MiB",
    "disk bytes/event",
    "Kafka bytes/event",
    "age p50 ms",
    "age p99 ms",
)


class Round(msgspec.Struct):
    """What one round measured, by system."""

    runs: dict[str, Run] = {}
    ages: dict[str, Freshness] = {}


def of(rounds: list[Round], name: str, field: str) -> float:
    """The median of a figure over the rounds."""
    return median(getattr(one.runs[name], field) for one in rounds)


def ratio(rounds: list[Round], name: str) -> float:
    """How many times a system's CPU seconds per event ours are fewer: the median of the rounds."""
    field = "cpu_s_per_million"
    return median(getattr(o.runs[name], field) / getattr(o.runs[OURS], field) for o in rounds)


def age(rounds: list[Round], name: str, field: str) -> float | None:
    """The same of an age; ``None`` where it was not measured."""
    found = [getattr(one.ages[name], field) for one in rounds if name in one.ages]
    return median(found) if found else None


def rows(rounds: list[Round]) -> Iterator[tuple[str, ...]]:
    """The table's cells; those of single events are medians of the rounds."""
    for name, label in LABELS.items():
        p50, p99 = age(rounds, name, "p50_ms"), age(rounds, name, "p99_ms")
        yield (
            label,
            f"{of(rounds, name, 'events_per_s'):,.0f}",
            f"{of(rounds, name, 'cpu_s_per_million'):.2f}",
            f"1 / {ratio(rounds, name):.2f}",
            f"{of(rounds, name, 'peak_mib'):.0f}",
            f"{of(rounds, name, 'disk_bytes'):.0f}",
            f"{of(rounds, name, 'kafka_bytes'):.0f}",
            "" if p50 is None else f"{p50:.0f}",
            "" if p99 is None else f"{p99:.0f}",
        )


def markdown(rounds: list[Round]) -> str:
    """The same table for ``docs/performance.md``."""
    lines = [COLUMNS, ["---"] + ["---:"] * (len(COLUMNS) - 1), *rows(rounds)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def figures(rounds: list[Round]) -> dict[str, Any]:
    """The flat JSON object; names without a system are ours."""
    found: dict[str, Any] = {}
    for name in LABELS:
        prefix = {OURS: "", TWO: "two_workers_"}.get(name, f"{name}_")
        for field in Run.__struct_fields__[:-1]:
            found[prefix + field] = round(of(rounds, name, field), 3)
        for field in ("p50_ms", "p99_ms", "load"):
            value = age(rounds, name, field)
            if value is not None:
                found[f"{prefix}freshness_{field}"] = round(value, 1)
    for name in PEER_MODULES:
        found[f"ratio_vs_{name}"] = round(ratio(rounds, name), 3)
    found["two_workers_ratio"] = round(
        median(one.runs[TWO].events_per_s / one.runs[OURS].events_per_s for one in rounds), 3
    )
    found["rounds"] = len(rounds)
    return found


def draw(rounds: list[Round], target: Path) -> None:
    """Events per CPU second of every system, and the ages at half load."""
    mpl.use("Agg")
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.2), layout="constrained")
    names = [OURS, *PEER_MODULES]
    speeds = [1e6 / of(rounds, name, "cpu_s_per_million") for name in names]
    colours = ["#1f6f8b" if name == OURS else "#b8c4c9" for name in names]
    bars = left.barh([LABELS[name] for name in names], speeds, color=colours)
    left.bar_label(bars, [f"{speed:,.0f}" for speed in speeds], padding=3, fontsize=8)
    left.set_xlim(right=max(speeds) * 1.25)
    left.invert_yaxis()
    left.xaxis.set_major_formatter("{x:,.0f}")
    left.tick_params(axis="x", labelsize=8)
    left.set_title("Events per CPU second", fontsize=10)
    aged = [name for name in names if age(rounds, name, "p50_ms") is not None]
    for at, field in enumerate(("p50_ms", "p99_ms")):
        places = [number + 0.4 * at for number in range(len(aged))]
        heights = [age(rounds, name, field) or 0.0 for name in aged]
        drawn = right.barh(places, heights, 0.38, label=field[:3], color=["#1f6f8b", "#8fb9c7"][at])
        right.bar_label(drawn, fmt="%.0f", padding=3, fontsize=8)
    right.set_yticks([number + 0.2 for number in range(len(aged))], [LABELS[name] for name in aged])
    right.margins(x=0.2)
    right.invert_yaxis()
    right.set_title("Age of an event when readable, half load (ms)", fontsize=10)
    right.legend(frameon=False, fontsize=8, loc="upper right")
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(target, dpi=130)
    plt.close(figure)
