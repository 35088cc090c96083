"""The parts of ``benchmarks.stream_state`` that turn observations into figures."""

from __future__ import annotations

from pathlib import Path

from benchmarks.stream_state.half_load import Freshness
from benchmarks.stream_state.plot import draw
from benchmarks.stream_state.report import LABELS, Round, figures, markdown, rows
from benchmarks.stream_state.systems import OURS, STREAMS
from benchmarks.stream_state.throughput import Run, log_bytes


def a_round(cpu: float) -> Round:
    runs = {
        name: Run(1000.0 * at, cpu * at, 0.5 * at, 10.0, 20.0, 30.0, 30.0)
        for at, name in enumerate(LABELS, 1)
    }
    return Round(runs, {OURS: Freshness(500.0, 100, 40.0, 90.0)})


def test_ratios_are_medians_of_the_rounds_own_ratios() -> None:
    slow, fast = a_round(2.0), a_round(1.0)
    slow.runs["quix"] = Run(1.0, 2.0 * 9, 0.5, 1.0, 1.0, 1.0, 30.0)
    results = figures([slow, fast, a_round(5.0)])
    assert results["cpu_s_per_million"] == 2.0
    assert results["ratio_vs_quix"] == 3.0
    assert results["two_workers_ratio"] == 2.0
    assert (results["freshness_p50_ms"], results["freshness_p99_ms"]) == (40.0, 90.0)
    assert "quix_freshness_p99_ms" not in results


def test_kafka_streams_is_judged_by_its_best_cell_with_the_broker() -> None:
    one, other = a_round(1.0), a_round(1.0)
    for each, cell in ((one, "kafka_streams_alo"), (other, "kafka_streams_eos")):
        each.runs[OURS] = Run(1000.0, 6.0, 0.5, 1.0, 1.0, 1.0, 30.0)
        each.runs[cell] = Run(2000.0, 1.0, 12.0, 1.0, 1.0, 1.0, 30.0)
        for name in STREAMS.keys() - {cell}:
            each.runs[name] = Run(500.0, 12.0, 14.0, 1.0, 1.0, 1.0, 30.0)
    results = figures([one, other])
    assert results["ratio_vs_kafka_streams"] == 2.0
    assert results["speed_vs_kafka_streams"] == 0.5


def test_the_table_has_a_line_per_system_and_no_age_where_none_was_measured() -> None:
    lines = list(rows([a_round(1.0)]))
    assert [line[0] for line in lines] == list(LABELS.values())
    assert lines[0][-2:] == ("40", "90")
    assert lines[-1][-2:] == ("", "")
    assert markdown([a_round(1.0)]).count("\n") == len(lines) + 1


def test_the_plot_is_drawn(tmp_path: Path) -> None:
    draw([a_round(1.0)], tmp_path / "p.png")
    assert (tmp_path / "p.png").stat().st_size > 10_000


def test_kafkas_bytes_are_those_of_segments_of_topics(tmp_path: Path) -> None:
    for name, size in {
        "data/full.events-0/00.log": 100,
        "data/full.events-0/00.index": 1_000_000,
        "data/__consumer_offsets-0/00.log": 10,
        "data/__cluster_metadata-0/00.log": 5000,
        "logs/broker.log": 77,
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(bytes(size))
    assert log_bytes(tmp_path) == 110
