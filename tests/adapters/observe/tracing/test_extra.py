from __future__ import annotations

import ast
import importlib.util
from pathlib import Path

import pytest

from everfresh.adapters.observe.tracing.extra import require_tracing
from everfresh.contracts.errors import MissingDependency, SettingsError
from everfresh.contracts.settings import Settings, TracingSettings

ROOT = Path(__file__).parents[4]
ON = Settings(tracing=TracingSettings(enabled=True))


def test_without_the_extra_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(importlib.util, "find_spec", missing)
    with pytest.raises(MissingDependency, match=r"install everfresh\[tracing\]") as told:
        require_tracing(ON, {})
    assert "\n" not in str(told.value)
    require_tracing(Settings(), {})


@pytest.mark.parametrize(
    ("name", "value", "accepted"),
    [
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "http/protobuf"),
        ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/json", "http/protobuf"),
        ("OTEL_TRACES_EXPORTER", "zipkin", "otlp"),
        ("OTEL_TRACES_EXPORTER", "none", "otlp"),
    ],
)
def test_another_exporter_is_refused_by_its_variable(name: str, value: str, accepted: str) -> None:
    with pytest.raises(SettingsError, match=f"{name} is '{value}'.* set {name} to {accepted}"):
        require_tracing(ON, {name: value})
    require_tracing(ON, {name: accepted})
    require_tracing(Settings(), {name: value})


def test_a_number_that_is_none_is_refused_by_its_variable() -> None:
    with pytest.raises(SettingsError, match="OTEL_BSP_MAX_QUEUE_SIZE is 'many'"):
        require_tracing(ON, {"OTEL_BSP_MAX_QUEUE_SIZE": "many"})


def loaded_with(file: Path) -> set[str]:
    """The modules that a file loads as it is loaded itself."""
    names: set[str] = set()
    for node in ast.parse(file.read_text()).body:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def test_no_part_loads_opentelemetry_where_traces_are_off() -> None:
    """It may not be installed there. Each part loads these files once traces are on."""
    loading = {
        ".".join(("everfresh", *file.relative_to(ROOT).with_suffix("").parts)): loaded_with(file)
        for room in ("adapters", "streaming", "trainer", "serving", "infra", "model", "contracts")
        for file in (ROOT / room).rglob("*.py")
    }
    needing = {"opentelemetry"}
    while more := {
        name
        for name, loads in loading.items()
        if name not in needing
        and any(each in needing or each.split(".")[0] == "opentelemetry" for each in loads)
    }:
        needing |= more
    assert needing - {"opentelemetry"} == {
        "everfresh.adapters.observe.tracing.contexts",
        "everfresh.adapters.observe.tracing.exporter",
        "everfresh.adapters.observe.tracing.opening",
        "everfresh.adapters.observe.tracing.spans",
        "everfresh.serving.spans",
        "everfresh.streaming.fold_spans",
        "everfresh.trainer.traced_reports",
    }
