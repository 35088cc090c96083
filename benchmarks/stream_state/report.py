"""What the rounds of ``stream_state`` come to: the table and the figures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec

from benchmarks.harness.report import median, show_table
from benchmarks.stream_state.half_load import Freshness
from benchmarks.stream_state.systems import OURS, PEERS, STREAMS
from benchmarks.stream_state.throughput import Run

TWO = "everfresh, two workers"
LABELS = {
    OURS: "everfresh",
    TWO: "everfresh, two workers",
    "quix": "Quix Streams",
    "faust_table": "Faust table",
    "fetch": "bare fetch (aiokafka)",
    "kafka_streams_alo_cached": "Kafka Streams, at_least_once, cache",
    "kafka_streams_alo": "Kafka Streams, at_least_once, no cache",
    "kafka_streams_eos_cached": "Kafka Streams, exactly_once_v2, cache",
    "kafka_streams_eos": "Kafka Streams, exactly_once_v2, no cache",
}
COLUMNS = (
    "system",
    "events/s ↑",
    "CPU s per million ↓",
    "events per CPU s, everfresh = 1 ↑",
    "broker's CPU s per million ↓",
    "peak MiB ↓",
    "disk bytes/event ↓",
    "Kafka bytes/event ↓",
    "age p50 ms ↓",
    "age p99 ms ↓",
)


class Round(msgspec.Struct):
    """What one round measured, by system."""

    runs: dict[str, Run] = {}
    ages: dict[str, Freshness] = {}


def median_of(rounds: list[Round], name: str, field: str) -> float:
    """The median of a figure over the rounds."""
    return median(getattr(each.runs[name], field) for each in rounds)


def ratio(rounds: list[Round], name: str) -> float:
    """How many times a system's CPU seconds per event ours are fewer: the median of the rounds."""
    field = "cpu_s_per_million"
    return median(
        getattr(each.runs[name], field) / getattr(each.runs[OURS], field) for each in rounds
    )


def best_streams(rounds: list[Round]) -> float:
    """How many times the CPU seconds per event of Kafka Streams' best cell ours are fewer, the
    broker's among them: the median of the rounds."""
    field = "whole_cpu_s_per_million"
    return median(_of_cells(each, field, min) / getattr(each.runs[OURS], field) for each in rounds)


def fastest_streams(rounds: list[Round]) -> float:
    """Our events per second over those of Kafka Streams' fastest cell: the median of the rounds."""
    field = "events_per_s"
    return median(getattr(each.runs[OURS], field) / _of_cells(each, field, max) for each in rounds)


def _of_cells(of: Round, field: str, best: Callable[[Iterable[float]], float]) -> float:
    return best(getattr(of.runs[name], field) for name in STREAMS)


def age(rounds: list[Round], name: str, field: str) -> float | None:
    """The same of an age; ``None`` where it was not measured."""
    ages = [getattr(each.ages[name], field) for each in rounds if name in each.ages]
    return median(ages) if ages else None


def show(rounds: list[Round]) -> None:
    """The table, and the same in Markdown for ``docs/performance.md``."""
    good = 'more events per CPU second and lower ages; "1 / 4" is four times fewer than everfresh'
    show_table("Stateful fold, medians of the rounds", COLUMNS, rows(rounds), good=good)
    print(markdown(rounds))


def rows(rounds: list[Round]) -> Iterator[tuple[str, ...]]:
    """The table's cells; those of single events are medians of the rounds."""
    for name, label in LABELS.items():
        p50, p99 = age(rounds, name, "p50_ms"), age(rounds, name, "p99_ms")
        yield (
            label,
            f"{median_of(rounds, name, 'events_per_s'):,.0f}",
            f"{median_of(rounds, name, 'cpu_s_per_million'):.2f}",
            f"1 / {ratio(rounds, name):.2f}",
            f"{median_of(rounds, name, 'broker_cpu_s_per_million'):.2f}",
            f"{median_of(rounds, name, 'peak_mib'):.0f}",
            f"{median_of(rounds, name, 'disk_bytes'):.0f}",
            f"{median_of(rounds, name, 'kafka_bytes'):.0f}",
            "" if p50 is None else f"{p50:.0f}",
            "" if p99 is None else f"{p99:.0f}",
        )


def markdown(rounds: list[Round]) -> str:
    """The same table for ``docs/performance.md``."""
    lines = [COLUMNS, ["---"] + ["---:"] * (len(COLUMNS) - 1), *rows(rounds)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def figures(rounds: list[Round]) -> dict[str, Any]:
    """The flat JSON object; names without a system are ours."""
    named: dict[str, Any] = {}
    for name in LABELS:
        prefix = {OURS: "", TWO: "two_workers_"}.get(name, f"{name}_")
        for field in Run.__struct_fields__[:-1]:
            named[prefix + field] = round(median_of(rounds, name, field), 3)
        for field in ("p50_ms", "p99_ms", "load"):
            value = age(rounds, name, field)
            if value is not None:
                named[f"{prefix}freshness_{field}"] = round(value, 1)
    named["ratio_vs_kafka_streams"] = round(best_streams(rounds), 3)
    named["speed_vs_kafka_streams"] = round(fastest_streams(rounds), 3)
    for name in PEERS:
        named[f"ratio_vs_{name}"] = round(ratio(rounds, name), 3)
    named["two_workers_ratio"] = round(
        median(each.runs[TWO].events_per_s / each.runs[OURS].events_per_s for each in rounds), 3
    )
    named["rounds"] = len(rounds)
    named["measured_s"] = round(median(each.runs[OURS].seconds for each in rounds), 1)
    return named
